//! Averages of weights over a run: exponential (EMA), and over its last epochs (SWA).

use super::variables::Variables;
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

/// The averages of a run.
#[derive(Default)]
pub(in crate::train) struct Averages {
    /// The rate of the exponential one; 0: none is kept.
    decay: f64,
    ema: Average,
    /// Over the last epochs.
    last: Average,
}

/// What the names of saved averages begin with.
const SAVED: [&str; 2] = ["ema.", "last."];

impl Averages {
    /// None yet.
    pub(in crate::train) fn new(decay: f64) -> Self {
        Self {
            decay,
            ..Self::default()
        }
    }

    /// Goes on from what [`state`](Self::state) saved, after so many steps and averaged epochs.
    ///
    /// # Errors
    /// If tensors are not `f32`.
    pub(in crate::train) fn restore(
        &mut self,
        saved: &Tensors,
        steps: u64,
        epochs: u64,
    ) -> Result<()> {
        let part = |prefix: &str| -> Tensors {
            let of = |(n, t): (&String, &Tensor)| Some((n.strip_prefix(prefix)?.into(), t.clone()));
            saved.iter().filter_map(of).collect()
        };
        self.ema = Average::restore(&part(SAVED[0]), steps)?;
        self.last = Average::restore(&part(SAVED[1]), epochs)?;
        Ok(())
    }

    /// Takes the weights after a step in.
    ///
    /// # Errors
    /// As [`Average::take`].
    pub(in crate::train) fn after_step(&mut self, variables: &Variables) -> Result<()> {
        if self.decay > 0.0 {
            let decay = self.decay;
            self.ema
                .take(&variables.moving(), |count| share(decay, count))?;
        }
        Ok(())
    }

    /// Takes the tensors of one of the last epochs in; gives their average, if there are several.
    ///
    /// # Errors
    /// As [`Average::take`].
    pub(in crate::train) fn after_epoch(&mut self, tensors: &Tensors) -> Result<Option<Tensors>> {
        self.last.take(tensors, |count| 1.0 / (count + 1) as f64)?;
        match self.last.count() {
            0 | 1 => Ok(None),
            _ => Ok(Some(self.last.tensors()?)),
        }
    }

    /// Epochs that are averaged so far.
    pub(in crate::train) fn epochs(&self) -> u64 {
        self.last.count()
    }

    /// The tensors that are scored and saved: those of the variables, and the averages where there are any.
    ///
    /// # Errors
    /// If tensors cannot be copied.
    pub(in crate::train) fn over(&self, variables: &Variables) -> Result<Tensors> {
        let mut tensors = variables.snapshot()?;
        tensors.extend(self.ema.tensors()?);
        Ok(tensors)
    }

    /// What [`restore`](Self::restore) needs.
    ///
    /// # Errors
    /// If memory runs out.
    pub(in crate::train) fn state(&self) -> Result<Tensors> {
        let mut saved = Tensors::new();
        for (prefix, average) in SAVED.into_iter().zip([&self.ema, &self.last]) {
            let tensors = average.tensors()?.into_iter();
            saved.extend(tensors.map(|(name, t)| (format!("{prefix}{name}"), t)));
        }
        Ok(saved)
    }
}

/// The share of the newest weights in an exponential average of rate `decay`, after `count` steps: 1 − min(decay, (1 + t)/(10 +
/// t)), so that the first, untrained weights are soon forgotten (as TensorFlow's `ExponentialMovingAverage` with its step count).
pub fn share(decay: f64, count: u64) -> f64 {
    let t = count as f64;
    1.0 - decay.min((1.0 + t) / (10.0 + t))
}
