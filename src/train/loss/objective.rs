//! What a run learns towards: each head's loss, and the one between joint head and heads.

use super::class_weights::head_losses;
use super::joint::{HeadPart, Losses};
use super::tasks::Tasks;
use super::unseen::Unseen;
use super::{Consistency, HeadLoss, Loss};
use crate::data::dataset::{Dataset, Sample, Value};
use crate::data::targets::{Targets, row};
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::model::{ModelSpec, Outputs};
use candle_core::{DType, Device, Tensor};
use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

/// The losses of a run.
pub(in crate::train) struct Objective<'a> {
    pub(in crate::train) tasks: Rc<Tasks>,
    losses: Vec<HeadLoss>,
    /// Those that users give in their place, one place a head.
    own: Vec<Option<&'a dyn Loss>>,
    /// The loss between joint head and heads and its factor, if there is one.
    consistency: Option<(f64, Consistency)>,
}

/// What a head is trained towards in one step.
pub(in crate::train) struct HeadTarget<'a> {
    loss: Cow<'a, HeadLoss>,
    targets: Targets,
    /// What the loss of the whole batch is divided by: each part takes its share of the mean.
    total: f64,
}

impl<'a> Objective<'a> {
    /// Of the photos `train`, whose labels class weights may follow from; `own` are losses by the names of heads.
    ///
    /// # Errors
    /// [`Error::EmptySplit`] if no photo has a label of a head.
    pub(in crate::train) fn new(
        spec: &ModelSpec,
        tasks: Rc<Tasks>,
        dataset: &Dataset,
        train: &[usize],
        own: &[(String, &'a dyn Loss)],
    ) -> Result<Self> {
        let of = |head: &HeadSpec| own.iter().rfind(|(name, _)| *name == head.name);
        let own = tasks.heads().map(|head| of(head).map(|(_, loss)| *loss));
        let own = own.collect();
        let losses = head_losses(&tasks, dataset, train)?;
        let consistency = match spec.joint.as_ref().map(|j| j.consistency) {
            Some(factor) if factor > 0.0 => Some((factor, Consistency::new(&tasks.taxonomy)?)),
            _ => None,
        };
        Ok(Self {
            tasks,
            losses,
            own,
            consistency,
        })
    }

    /// Labels that no photo in training has.
    pub(in crate::train) fn unseen(&self) -> Vec<Unseen> {
        Unseen::all(self.tasks.heads(), &self.losses)
    }

    /// What the heads are trained towards by a batch in `epoch` of `epochs`.
    pub(in crate::train) fn head_targets(
        &self,
        targets: Vec<Targets>,
        epoch: usize,
        epochs: usize,
    ) -> Vec<HeadTarget<'_>> {
        let heads = self.losses.iter().zip(targets).enumerate();
        heads
            .map(|(i, (loss, targets))| {
                let loss = loss.in_epoch(epoch, epochs);
                let total = self.total(i, &loss, &targets.rows, &targets.weights);
                HeadTarget {
                    loss,
                    targets,
                    total,
                }
            })
            .collect()
    }

    /// What the mean loss of some photos is divided by: as its settings weigh them, or of a loss of one's own the photos'
    /// weights.
    fn total(&self, i: usize, settings: &HeadLoss, rows: &[f32], weights: &[f32]) -> f64 {
        match self.own[i] {
            Some(_) => weights.iter().map(|w| f64::from(*w)).sum(),
            None => settings.total(rows, weights),
        }
    }

    /// The heads' losses of some rows of a batch of `photos`.
    ///
    /// # Shapes
    /// `outputs` `(rows, num_outputs)` of each head.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub(in crate::train) fn losses(
        &self,
        outputs: &Outputs,
        targets: &[HeadTarget],
        rows: &Range<usize>,
        photos: usize,
    ) -> Result<Losses> {
        let heads = self.tasks.heads().zip(outputs.iter()).zip(targets);
        let heads = heads.enumerate().map(|(i, ((head, outputs), of_head))| {
            let n = of_head.targets.num_labels;
            let weights = &of_head.targets.weights[rows.clone()];
            let rows = &of_head.targets.rows[rows.start * n..rows.end * n];
            let part = self.total(i, &of_head.loss, rows, weights);
            let rows = Tensor::from_slice(rows, (weights.len(), n), &Device::Cpu)?;
            let weights = Tensor::from_slice(weights, weights.len(), &Device::Cpu)?;
            let (loss, share) = match self.loss(i, &of_head.loss, outputs, &rows, &weights)? {
                Some(loss) if part > 0.0 => (loss, part / of_head.total),
                // No photo of these has the label: the head still takes part, with gradient 0, so that a variable without
                // a gradient always means a cut graph.
                _ => (outputs.sum_all()?, 0.0),
            };
            Ok(HeadPart {
                loss,
                share,
                weight: head.loss.weight,
            })
        });
        let beside = match &self.consistency {
            Some((factor, consistency)) => {
                let share = rows.len() as f64 / photos as f64;
                Some((consistency.loss(outputs)?, factor * share))
            }
            None => None,
        };
        Ok(Losses {
            heads: heads.collect::<Result<_>>()?,
            beside,
            cut: None,
        })
    }

    /// The loss of the head at place `i`: its own, if it has one, or that of its settings; `None` if no row counts.
    fn loss(
        &self,
        i: usize,
        settings: &HeadLoss,
        outputs: &Tensor,
        targets: &Tensor,
        weights: &Tensor,
    ) -> Result<Option<Tensor>> {
        let Some(own) = self.own[i] else {
            return settings.loss(outputs, targets, weights);
        };
        if weights.to_vec1::<f32>()?.iter().all(|w| *w == 0.0) {
            return Ok(None);
        }
        let loss = own.loss(outputs, targets, weights)?;
        if loss.rank() > 0 {
            return Err(Error::Shape {
                what: match self.tasks.heads().nth(i) {
                    Some(head) => format!("the loss of one's own of head `{}`", head.name),
                    None => "a loss of one's own".into(),
                },
                expected: "(), a scalar".into(),
                found: loss.dims().to_vec(),
            });
        }
        Ok(Some(loss.to_dtype(DType::F32)?))
    }

    /// The joint loss of these samples by their labels as they are measured, and where a head predicts a number by that;
    /// `None` if nothing is known of them.
    ///
    /// # Shapes
    /// `outputs` `(samples, num_outputs)` of each head.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub(in crate::train) fn loss_of_samples(
        &self,
        outputs: &Outputs,
        samples: &[&Sample],
    ) -> Result<Option<f64>> {
        let (mut sum, mut labelled) = (0.0, false);
        let known: Vec<_> = samples.iter().map(|s| self.tasks.labels(s)).collect();
        let heads = self.tasks.heads().zip(&self.losses).zip(outputs.iter());
        for (i, ((head, loss), outputs)) in heads.enumerate() {
            let n = head.num_targets();
            let mut hard = Vec::with_capacity(known.len() * n);
            let mut weights = Vec::with_capacity(known.len());
            for (sample, known) in samples.iter().zip(&known) {
                // The joint head's label is no value of the sample.
                let value = sample.values.get(i).cloned().flatten();
                let value = match known[i] {
                    Some(label) => Some(value.unwrap_or(Value::Label(label))),
                    None if head.is_multi_label() && self.tasks.applies(sample, i) => value,
                    // A head that does not learn from groups is not measured by them either.
                    None if head.num_targets() > head.num_scores() => {
                        let group = value.filter(|v| matches!(v, Value::Group(_)));
                        group.filter(|_| self.tasks.applies(sample, i))
                    }
                    None => None,
                };
                match value {
                    Some(value) => {
                        hard.extend(row(head, &value));
                        weights.push(1f32);
                    }
                    None => {
                        hard.resize(hard.len() + n, 0.0);
                        weights.push(0.0);
                    }
                }
            }
            let rows = known.len();
            let hard = Tensor::from_vec(hard, (rows, n), &Device::Cpu)?;
            let weights = Tensor::from_vec(weights, rows, &Device::Cpu)?;
            if let Some(loss) = self.loss(i, loss, outputs, &hard, &weights)? {
                sum += head.loss.weight * f64::from(loss.to_scalar::<f32>()?);
                labelled = true;
            }
        }
        if let Some((factor, consistency)) = &self.consistency {
            sum += factor * f64::from(consistency.loss(outputs)?.to_scalar::<f32>()?);
        }
        Ok(labelled.then_some(sum))
    }
}
