//! A method and the figures of an epoch.

use super::method::{Method, Step};
use super::report::{GradientReport, Mean, pairs};
use super::{Balancing, Gradients};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Balances the heads of a run, and sums up what an epoch tells of it: a part of the run's saved state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balancer {
    method: Method,
    /// Factors of the heads, of this epoch's steps so far.
    factors: Vec<Mean>,
    norms: Vec<Mean>,
    cosines: Vec<Mean>,
}

impl Balancer {
    /// Before the first step of a model with so many heads.
    pub fn new(balancing: Balancing, heads: usize) -> Self {
        Self {
            method: Method::new(balancing, heads),
            ..Self::default()
        }
    }

    /// Whether nothing but [`Balancing::Fixed`] has been at work, and no epoch is half reported.
    pub(in crate::train) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses to go on with another method than before.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the setting.
    pub(in crate::train) fn check(&self, balancing: Balancing) -> Result<()> {
        if self.method.setting() == balancing {
            return Ok(());
        }
        Err(Error::Invalid {
            what: "to go on with the run, train.balancing".into(),
            expected: format!("the one before, {:?}", self.method.setting()),
            found: format!("{balancing:?}"),
        })
    }

    /// The factors of the heads' losses in a step with these losses.
    pub(in crate::train) fn factors(&self, losses: &[Option<f64>]) -> Vec<f64> {
        self.method.factors(losses)
    }

    /// Whether the graph is cut at the features, so that each head's gradient there is known.
    pub(in crate::train) fn cuts_at_features(&self) -> bool {
        matches!(self.method, Method::GradNorm(_))
    }

    /// Whether the heads' gradients are put together one by one.
    pub(in crate::train) fn projects(&self) -> bool {
        matches!(self.method, Method::PcGrad)
    }

    /// Whether a step's losses are needed again after it.
    pub(in crate::train) fn looks_back(&self) -> bool {
        matches!(self.method, Method::Famo(_))
    }

    /// Learns from a step and takes its figures in. `after` holds the losses after it where they are needed, `lr` is the heads'
    /// learning rate.
    pub(in crate::train) fn take(
        &mut self,
        step: &Gradients,
        after: Option<&[Option<f64>]>,
        lr: f64,
    ) {
        let heads = step.losses.len();
        if self.method != Method::Fixed {
            self.factors.resize(heads, Mean::default());
            let each = self.factors.iter_mut().zip(&step.factors);
            for ((mean, factor), loss) in each.zip(&step.losses) {
                mean.add(loss.map(|_| *factor));
            }
        }
        if let Some(products) = &step.products {
            self.norms.resize(heads, Mean::default());
            self.cosines.resize(pairs(heads).count(), Mean::default());
            let norm = |head: usize| products[head][head].sqrt();
            for (head, mean) in self.norms.iter_mut().enumerate() {
                mean.add(step.losses[head].map(|_| norm(head)));
            }
            for ((a, b), mean) in pairs(heads).zip(&mut self.cosines) {
                let size = norm(a) * norm(b);
                mean.add((size > 0.0).then(|| products[a][b] / size));
            }
        }
        let norms: Vec<f64> = step
            .at_features
            .iter()
            .map(|square| square.sqrt())
            .collect();
        self.method.update(&Step {
            losses: &step.losses,
            norms: &norms,
            after,
            lr,
        });
    }

    /// Ends an epoch: each head's mean factor, none with [`Balancing::Fixed`], and what was measured of the gradients.
    pub(in crate::train) fn end_epoch(&mut self) -> (Vec<Option<f64>>, Option<GradientReport>) {
        self.method.end_epoch();
        let values = |means: &mut Vec<Mean>| -> Vec<Option<f64>> {
            std::mem::take(means).into_iter().map(Mean::value).collect()
        };
        let gradients = GradientReport {
            norms: values(&mut self.norms),
            cosines: values(&mut self.cosines),
        };
        // Of a backbone that is not trained yet there is nothing to tell.
        let told = gradients.norms.iter().flatten().any(|norm| *norm > 0.0);
        (values(&mut self.factors), told.then_some(gradients))
    }
}
