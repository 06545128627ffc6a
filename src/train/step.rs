//! One training step: photos or features in, joint loss, backward, optimiser.

use super::loader::Loader;
use super::mix::{Targets, draw_lambda, mix_up};
use super::source::Source;
use super::targets::target;
use super::trainer::Run;
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::layers::Mode;
use crate::model::MultiTaskModel;
use crate::ops::parts;
use crate::ops::scale;
use candle_core::{DType, Device, Tensor};
use std::ops::Range;

impl Run<'_> {
    /// One step with `lr` times the learning rates; gives the joint loss.
    pub(super) fn step(
        &mut self,
        epoch: usize,
        step: usize,
        lr: f64,
        batch: &[usize],
        loader: Option<&mut Loader>,
    ) -> Result<f64> {
        let config = &self.config.train;
        let mut targets: Vec<Targets> = self
            .spec
            .heads
            .iter()
            .enumerate()
            .map(|(i, h)| self.targets(i, h, batch))
            .collect();
        let key =
            config.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((epoch as u64) << 32 | step as u64);
        let inputs = match (&self.source, loader) {
            (Source::Kept(kept), _) => kept.train(epoch, batch)?,
            (Source::Photos, Some(loader)) => {
                let photos = loader.take(batch.len()).collect::<Result<Vec<_>>>()?;
                let [h, w] = self.spec.input.size;
                let mut pixels: Vec<f32> = photos.into_iter().flat_map(|p| p.pixels).collect();
                let lambda = draw_lambda(config.mix_up, config.seed, epoch as u64, step as u64)?;
                mix_up(&mut pixels, &mut targets, batch.len(), lambda);
                let shape = (batch.len(), self.spec.input.channels, h, w);
                Tensor::from_vec(pixels, shape, &Device::Cpu)?
            }
            (Source::Photos, None) => {
                return Err(Error::Invalid {
                    what: "a step on photos".into(),
                    expected: "a loader".into(),
                    found: "none".into(),
                });
            }
        };
        let not_finite = |what: String, value: f64| Error::NotFinite {
            what,
            value,
            epoch: epoch + 1,
            step: step + 1,
        };
        // The weights of a head's loss over the whole batch: each part takes its share of the mean.
        let totals: Vec<f64> = self
            .losses
            .iter()
            .zip(&targets)
            .map(|(loss, t)| loss.total(&t.rows, &t.weights))
            .collect();
        let (mut value, mut sum): (f64, Option<Vec<Tensor>>) = (0.0, None);
        for (part, rows) in parts(batch.len(), config.accumulate.min(batch.len() / 2))
            .into_iter()
            .enumerate()
        {
            let mode = Mode::Train {
                batch_norm: config.batch_norm,
                key: key.wrapping_add((part as u64) << 48),
            };
            let inputs = inputs.narrow(0, rows.start, rows.len())?;
            let joint = self.joint(inputs, &rows, &targets, &totals, mode, &not_finite)?;
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
            let drop_path = config.drop_path as f32;
            self.model = MultiTaskModel::new(&self.spec, drop_path, &self.variables.builder())?;
        }
        Ok(value)
    }

    /// The joint loss of some rows of a batch.
    fn joint(
        &self,
        inputs: Tensor,
        rows: &Range<usize>,
        targets: &[Targets],
        totals: &[f64],
        mode: Mode,
        not_finite: &dyn Fn(String, f64) -> Error,
    ) -> Result<Tensor> {
        let features = match self.source {
            Source::Kept { .. } => inputs,
            Source::Photos => self.model.features(&inputs, mode)?,
        };
        let logits = self.model.logits(&features, mode)?;
        let mut joint = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for (i, (head, logits)) in self.spec.heads.iter().zip(&logits).enumerate() {
            let (loss, n) = (&self.losses[i], targets[i].num_labels);
            let weights = &targets[i].weights[rows.clone()];
            let rows = &targets[i].rows[rows.start * n..rows.end * n];
            let share = loss.total(rows, weights) / totals[i];
            let rows = Tensor::from_slice(rows, (weights.len(), n), &Device::Cpu)?;
            let weights = Tensor::from_slice(weights, weights.len(), &Device::Cpu)?;
            let Some(loss) = loss.loss(logits, &rows, &weights)? else {
                // No photo of these has the label: the head still takes part, with gradient 0, so that a variable without
                // a gradient always means a cut graph.
                joint = (joint + scale(&logits.sum_all()?, vec![0.0])?)?;
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
        Ok(joint)
    }

    /// One head's targets for a batch of places in `train`.
    fn targets(&self, head: usize, spec: &HeadSpec, batch: &[usize]) -> Targets {
        let n = spec.num_labels();
        let mut rows = vec![0.0; batch.len() * n];
        let mut weights = vec![0.0; batch.len()];
        for ((i, row), weight) in batch.iter().zip(rows.chunks_exact_mut(n)).zip(&mut weights) {
            let value = &self.dataset.samples[self.train[*i]].values[head];
            if let Some(soft) = value.as_ref().and_then(|v| target(spec, v)) {
                row.copy_from_slice(&soft);
                *weight = 1.0;
            }
        }
        Targets {
            rows,
            weights,
            num_labels: n,
        }
    }
}
