//! One training step: photos or features in, joint loss, backward, optimiser.

use super::build::model;
use super::loader::Loader;
use super::loss::HeadLoss;
use super::mix::Targets;
use super::mixing::Batch;
use super::source::Source;
use super::trainer::Run;
use crate::error::{Error, Result};
use crate::layers::Mode;
use crate::ops::parts;
use crate::ops::scale;
use candle_core::{DType, Device, Tensor};
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
    /// One step with `lr` times the learning rates; gives the joint loss.
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
        let photos = batch.photos.len();
        let (mut value, mut sum): (f64, Option<Vec<Tensor>>) = (0.0, None);
        for (part, rows) in parts(photos, config.accumulate.min(photos / 2))
            .into_iter()
            .enumerate()
        {
            let mode = Mode::Train {
                batch_norm: config.batch_norm,
                key: key.wrapping_add((part as u64) << 48),
            };
            let inputs = inputs.narrow(0, rows.start, rows.len())?;
            let joint = self.joint(inputs, &rows, photos, &aims, mode, &not_finite)?;
            value += f64::from(joint.to_scalar::<f32>()?);
            let grads = self.optimizer.collect(&joint.backward()?)?;
            sum = Some(match sum {
                None => grads,
                Some(sum) => sum
                    .iter()
                    .zip(&grads)
                    .map(|(a, b)| a + b)
                    .collect::<candle_core::Result<_>>()?,
            });
        }
        let grads = sum.unwrap_or_default();
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
        Ok(value)
    }

    /// The joint loss of some rows of a batch of `photos`.
    fn joint(
        &self,
        inputs: Tensor,
        rows: &Range<usize>,
        photos: usize,
        aims: &[Aim],
        mode: Mode,
        not_finite: &dyn Fn(String, f64) -> Error,
    ) -> Result<Tensor> {
        let features = match self.source {
            Source::Kept { .. } => inputs,
            Source::Photos => self.model.features(&inputs, mode)?,
        };
        let outputs = self.model.outputs(&features, mode)?;
        let mut joint = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for ((head, outputs), aim) in self.tasks.heads.iter().zip(&outputs).zip(aims) {
            let n = aim.targets.num_labels;
            let weights = &aim.targets.weights[rows.clone()];
            let rows = &aim.targets.rows[rows.start * n..rows.end * n];
            let share = aim.loss.total(rows, weights) / aim.total;
            let rows = Tensor::from_slice(rows, (weights.len(), n), &Device::Cpu)?;
            let weights = Tensor::from_slice(weights, weights.len(), &Device::Cpu)?;
            let Some(loss) = aim.loss.loss(outputs, &rows, &weights)? else {
                // No photo of these has the label: the head still takes part, with gradient 0, so that a variable without
                // a gradient always means a cut graph.
                joint = (joint + scale(&outputs.sum_all()?, vec![0.0])?)?;
                continue;
            };
            let value = f64::from(loss.to_scalar::<f32>()?);
            if !value.is_finite() {
                return Err(not_finite(
                    format!("the loss of head `{}`", head.name),
                    value,
                ));
            }
            // Not `loss * weight`: candle drops the gradient of a multiplication by 0 instead of making it 0.
            joint = (joint + scale(&loss, vec![(head.weight * share) as f32])?)?;
        }
        if let Some((factor, consistency)) = &self.consistency {
            let share = rows.len() as f64 / photos as f64;
            let loss = consistency.loss(&outputs)?;
            joint = (joint + scale(&loss, vec![(factor * share) as f32])?)?;
        }
        Ok(joint)
    }

    /// Each head's targets for a batch of places in `train`.
    pub(super) fn targets(&self, batch: &[usize]) -> Vec<Targets> {
        let samples = batch.iter().map(|i| &self.dataset.samples[self.train[*i]]);
        self.tasks.targets(samples)
    }
}
