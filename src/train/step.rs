//! One training step: photos or features in, joint loss, backward, optimiser.

use super::loader::Loader;
use super::mix::{Targets, draw_lambda, mix_up};
use super::schedule;
use super::source::Source;
use super::targets::target;
use super::trainer::Run;
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::layers::Mode;
use crate::ops::scale;
use candle_core::{DType, Device, Tensor};

impl Run<'_> {
    /// One step; gives the joint loss.
    pub(super) fn step(
        &mut self,
        epoch: usize,
        step: usize,
        steps: usize,
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
        let mode = Mode::Train {
            batch_norm: config.batch_norm,
            key,
        };
        let features = match (&self.source, loader) {
            (Source::Kept { train, .. }, _) => {
                let rows: Vec<u32> = batch.iter().map(|i| *i as u32).collect();
                train.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?
            }
            (Source::Photos, Some(loader)) => {
                let photos = loader.take(batch.len()).collect::<Result<Vec<_>>>()?;
                let [h, w] = self.spec.input.size;
                let mut pixels: Vec<f32> = photos.into_iter().flat_map(|p| p.pixels).collect();
                let lambda = draw_lambda(config.mix_up, config.seed, epoch as u64, step as u64)?;
                mix_up(&mut pixels, &mut targets, batch.len(), lambda);
                let images = Tensor::from_vec(pixels, (batch.len(), 3, h, w), &Device::Cpu)?;
                self.model.features(&images, mode)?
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
        let logits = self.model.logits(&features, mode)?;
        let mut joint = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for (((head, loss), logits), targets) in self
            .spec
            .heads
            .iter()
            .zip(&self.losses)
            .zip(&logits)
            .zip(&targets)
        {
            let rows = Tensor::from_slice(
                &targets.rows,
                (batch.len(), targets.num_labels),
                &Device::Cpu,
            )?;
            let weights = Tensor::from_slice(&targets.weights, batch.len(), &Device::Cpu)?;
            let Some(loss) = loss.loss(logits, &rows, &weights)? else {
                // No photo of this batch has the label: the head still takes part, with gradient 0, so that a variable without
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
            joint = (joint + scale(&loss, vec![head.weight as f32])?)?;
        }
        let value = f64::from(joint.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(not_finite("the joint loss".into(), value));
        }
        let grads = self.optimizer.collect(&joint.backward()?)?;
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
        let lr = schedule::factor(
            epoch * steps + step,
            config.epochs * steps,
            config.warm_up,
            config.final_lr,
        );
        self.optimizer.step(&grads, lr, shorten)?;
        Ok(value)
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
