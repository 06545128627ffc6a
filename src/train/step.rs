//! One training step: photos or features in, joint loss, backward, optimiser.

use super::balancing::{Gradients, HeadPart, Losses};
use super::build::model;
use super::loss::HeadLoss;
use super::mix::Targets;
use super::mixing::Batch;
use super::source::Source;
use super::trainer::{Run, steps_of};
use crate::data::loader::Loader;
use crate::error::{Error, Result};
use crate::layers::Mode;
use crate::ops::parts;
use candle_core::{Device, Tensor, Var};
use std::borrow::Cow;
use std::ops::Range;

/// What a head is trained towards in one step.
struct Aim<'a> {
    loss: Cow<'a, HeadLoss>,
    targets: Targets,
    /// What the loss of the whole batch is divided by: each part takes its share of the mean.
    total: f64,
}

impl Run<'_> {
    /// One step with `lr` times the learning rates; gives the joint loss, as the heads' weights alone make it.
    pub(super) fn step(
        &mut self,
        epoch: usize,
        step: usize,
        lr: f64,
        batch: &Batch,
        loader: Option<&mut Loader>,
    ) -> Result<f64> {
        let config = &self.config.train;
        let key =
            config.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((epoch as u64) << 32 | step as u64);
        let (inputs, targets) = self.inputs(epoch, step, batch, loader)?;
        let not_finite = |what: String, value: f64| Error::NotFinite {
            what,
            value,
            epoch: epoch + 1,
            step: step + 1,
        };
        let aims: Vec<Aim> = self
            .losses
            .iter()
            .zip(targets)
            .map(|(loss, targets)| {
                let loss = loss.in_epoch(epoch, config.epochs);
                let total = loss.total(&targets.rows, &targets.weights);
                Aim {
                    loss,
                    targets,
                    total,
                }
            })
            .collect();
        let mode = |part: usize| Mode::Train {
            batch_norm: config.batch_norm,
            key: key.wrapping_add((part as u64) << 48),
        };
        let photos = batch.photos.len();
        let ones = vec![1.0; aims.len()];
        let steps = steps_of(self.config, self.sampler.photos());
        let measured = config.measures(step, steps);
        let balancer = &self.progress.balancing;
        let mut value = 0.0;
        let mut gradients = Gradients::new(balancer, aims.len(), measured);
        for (part, rows) in parts(photos, config.accumulate.min(photos / 2))
            .into_iter()
            .enumerate()
        {
            let mode = mode(part);
            let inputs = inputs.narrow(0, rows.start, rows.len())?;
            let losses = self.head_losses(&inputs, &rows, photos, &aims, mode, &not_finite)?;
            value += f64::from(losses.joint(&ones)?.to_scalar::<f32>()?);
            gradients.add(&losses, balancer, &self.optimizer)?;
        }
        let draw = (config.seed, epoch, step);
        let grads = gradients.finish(balancer, &self.optimizer, draw)?;
        if !value.is_finite() {
            return Err(not_finite("the joint loss".into(), value));
        }
        let norms = self.optimizer.norms(&grads)?;
        if let Some((name, norm)) = norms.iter().find(|(_, n)| !n.is_finite()) {
            return Err(not_finite(format!("the gradient of `{name}`"), *norm));
        }
        let norm = norms.iter().map(|(_, n)| n * n).sum::<f64>().sqrt();
        let shorten = if config.clip > 0.0 && norm > config.clip {
            config.clip / norm
        } else {
            1.0
        };
        self.optimizer.step(&grads, lr, shorten)?;
        if self.variables.are_adapted() {
            self.model = model(self.config, &self.spec, &self.variables)?;
        }
        let mut after = None;
        if self.progress.balancing.looks_back() {
            // The same draws; running statistics stay.
            self.model.set_momentum(Some(0.0));
            let losses =
                self.head_losses(&inputs, &(0..photos), photos, &aims, mode(0), &not_finite)?;
            after = Some(losses.values()?);
            self.model.set_momentum(None);
        }
        let lr = lr * config.lr_heads;
        self.progress
            .balancing
            .take(&gradients, after.as_deref(), lr);
        Ok(value)
    }

    /// The heads' losses of some rows of a batch of `photos`.
    fn head_losses(
        &self,
        inputs: &Tensor,
        rows: &Range<usize>,
        photos: usize,
        aims: &[Aim],
        mode: Mode,
        not_finite: &dyn Fn(String, f64) -> Error,
    ) -> Result<Losses> {
        let features = match self.source {
            Source::Kept { .. } => inputs.clone(),
            Source::Photos => self.model.features(inputs, mode)?,
        };
        let cut = if self.progress.balancing.cuts_at_features() {
            Some(Var::from_tensor(&features.detach())?)
        } else {
            None
        };
        let seen = cut.as_ref().map_or(&features, Var::as_tensor);
        let outputs = self.model.outputs(seen, mode)?;
        let heads = self.tasks.heads().zip(outputs.iter()).zip(aims);
        let heads = heads.map(|((head, outputs), aim)| {
            let n = aim.targets.num_labels;
            let weights = &aim.targets.weights[rows.clone()];
            let rows = &aim.targets.rows[rows.start * n..rows.end * n];
            let share = aim.loss.total(rows, weights) / aim.total;
            let rows = Tensor::from_slice(rows, (weights.len(), n), &Device::Cpu)?;
            let weights = Tensor::from_slice(weights, weights.len(), &Device::Cpu)?;
            let weight = head.loss.weight;
            let Some(loss) = aim.loss.loss(outputs, &rows, &weights)? else {
                // No photo of these has the label: the head still takes part, with gradient 0, so that a variable without
                // a gradient always means a cut graph.
                return Ok(HeadPart {
                    loss: outputs.sum_all()?,
                    share: 0.0,
                    weight,
                });
            };
            let value = f64::from(loss.to_scalar::<f32>()?);
            if !value.is_finite() {
                return Err(not_finite(
                    format!("the loss of head `{}`", head.name),
                    value,
                ));
            }
            Ok(HeadPart {
                loss,
                share,
                weight,
            })
        });
        let heads = heads.collect::<Result<_>>()?;
        let beside = match &self.consistency {
            Some((factor, consistency)) => {
                let share = rows.len() as f64 / photos as f64;
                Some((consistency.loss(&outputs)?, factor * share))
            }
            None => None,
        };
        Ok(Losses {
            heads,
            beside,
            cut: cut.map(|copy| (features, copy)),
        })
    }

    /// Each head's targets for a batch of places in `train`.
    pub(super) fn targets(&self, batch: &[usize]) -> Vec<Targets> {
        let samples = batch.iter().map(|i| &self.dataset.samples[self.train[*i]]);
        self.tasks.targets(samples)
    }
}
