//! How the heads are balanced, and what is measured of it.

use super::TrainConfig;
use crate::error::{Error, Result};
use crate::train::balancing::Balancing;
use crate::train::optim::plan::Plan;
use crate::train::optim::variables::{Variables, is_buffer};

impl TrainConfig {
    pub(super) fn validate_balancing(&self) -> Result<()> {
        let fail = |what: &str, expected: &str, found: String| {
            Err(Error::Invalid {
                what: format!("train.{what}"),
                expected: expected.into(),
                found,
            })
        };
        let positive = |v: f64| v > 0.0 && v <= 1e6;
        let not_negative = |v: f64| (0.0..=1e6).contains(&v);
        let (above, least) = (
            "a number above 0, at most 1000000",
            "a number of at least 0, at most 1000000",
        );
        match self.balancing {
            Balancing::Fixed | Balancing::Uncertainty | Balancing::PcGrad => {}
            Balancing::DynamicAverage { temperature } if !positive(temperature) => {
                let what = "balancing.dynamic_average.temperature";
                return fail(what, above, temperature.to_string());
            }
            Balancing::GradNorm { alpha, .. } if !not_negative(alpha) => {
                return fail("balancing.grad_norm.alpha", least, alpha.to_string());
            }
            Balancing::GradNorm { lr, .. } if !positive(lr) => {
                return fail("balancing.grad_norm.lr", above, lr.to_string());
            }
            Balancing::Famo { lr, .. } if !positive(lr) => {
                return fail("balancing.famo.lr", above, lr.to_string());
            }
            Balancing::Famo { decay, .. } if !not_negative(decay) => {
                return fail("balancing.famo.decay", least, decay.to_string());
            }
            Balancing::Famo { .. } if self.accumulate > 1 => {
                let expected = "1 with train.balancing.famo, which computes the losses of a whole batch again after its step";
                return fail("accumulate", expected, self.accumulate.to_string());
            }
            _ => {}
        }
        match self.of_shared() {
            Some(what) if self.stays_frozen() => {
                fail(what, SHARED, "train.fine_tune=frozen alone".into())
            }
            _ => Ok(()),
        }
    }

    /// The setting that needs the heads' gradients on the backbone, if there is one.
    fn of_shared(&self) -> Option<&'static str> {
        match (self.balancing, self.report_gradients) {
            (Balancing::PcGrad, _) => Some("balancing=pc_grad"),
            (_, 1..) => Some("report_gradients"),
            _ => None,
        }
    }

    /// Refuses settings that need the heads' gradients on the backbone where none of its tensors is ever trained.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the setting.
    pub(in crate::train) fn check_shared(&self, plan: &Plan, variables: &Variables) -> Result<()> {
        let Some(what) = self.of_shared() else {
            return Ok(());
        };
        let of_backbone = |name: &String| name.starts_with("backbone.") && !is_buffer(name);
        let last = self.epochs - 1;
        let trained = |name: &String| of_backbone(name) && plan.is_trained(name, last);
        // Low-rank factors are variables from the start.
        if variables.vars().keys().any(of_backbone) || variables.names().iter().any(trained) {
            return Ok(());
        }
        Err(Error::Invalid {
            what: format!("train.{what}"),
            expected: SHARED.into(),
            found: "settings by which none of its tensors is ever trained".into(),
        })
    }

    /// Whether the heads' gradients are measured in a step of so many an epoch: `report_gradients` steps, spread evenly.
    pub(in crate::train) fn measures(&self, step: usize, steps: usize) -> bool {
        step * self.report_gradients % steps.max(1) < self.report_gradients
    }
}

/// What heads can only pull at if it is trained.
const SHARED: &str = "a backbone of which something is trained, in train.fine_tune, train.unfreeze_every or train.lora: heads share nothing else";
