//! Averages of weights over a run: exponential (EMA), and over its last epochs (SWA).

use crate::error::Result;
use crate::model_file::Tensors;
use candle_core::{Device, Tensor};
use hydranet_kernels::update;
use hydranet_tape::internal::with_values;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Values a task updates.
const CHUNK: usize = 1 << 14;

/// A running average of tensors by name.
#[derive(Clone, Debug, Default)]
pub struct Average {
    values: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    /// Tensors taken in so far.
    count: u64,
}

impl Average {
    /// Moves a share of the way from the average to `tensors`: average += share · (tensor − average), in one pass over each. The
    /// first ones are taken as they are. `share` is of the number taken in before.
    ///
    /// # Errors
    /// If a tensor's size changes.
    pub fn take(&mut self, tensors: &Tensors, share: impl Fn(u64) -> f64) -> Result<()> {
        let share = share(self.count) as f32;
        for (name, tensor) in tensors {
            with_values(tensor, |new: &[f32]| {
                match self.values.get_mut(name) {
                    Some((_, old)) if old.len() == new.len() => old
                        .par_chunks_mut(CHUNK)
                        .zip(new.par_chunks(CHUNK))
                        .for_each(|(old, new)| update::towards(old, new, share)),
                    Some((_, old)) => candle_core::bail!(
                        "average of `{name}`: {} values, then {}",
                        old.len(),
                        new.len()
                    ),
                    None => {
                        let values = (tensor.dims().to_vec(), new.to_vec());
                        self.values.insert(name.clone(), values);
                    }
                }
                Ok(())
            })?;
        }
        self.count += 1;
        Ok(())
    }

    /// How many times tensors were taken in.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The averages as tensors.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn tensors(&self) -> Result<Tensors> {
        self.values
            .iter()
            .map(|(name, (shape, values))| {
                let t = Tensor::from_slice(values, shape.as_slice(), &Device::Cpu)?;
                Ok((name.clone(), t))
            })
            .collect()
    }

    /// An average that goes on from saved tensors.
    ///
    /// # Errors
    /// If they are not `f32`.
    pub fn restore(tensors: &Tensors, count: u64) -> Result<Self> {
        let mut average = Self::default();
        average.take(tensors, |_| 1.0)?;
        average.count = count;
        Ok(average)
    }
}

/// The share of the newest weights in an exponential average of rate `decay`, after `count` steps: 1 − min(decay, (1 + t)/(10 + t)),
/// so that the first, untrained weights are soon forgotten (as TensorFlow's `ExponentialMovingAverage` with its step count).
pub fn share(decay: f64, count: u64) -> f64 {
    let t = count as f64;
    1.0 - decay.min((1.0 + t) / (10.0 + t))
}
