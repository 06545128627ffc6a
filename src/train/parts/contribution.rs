//! What one part of a batch adds to a step.

use crate::error::Result;
use candle_core::Tensor;

/// What a part of a batch, or several summed, add to a step: tensors and numbers, each in an order that the step knows.
pub(in crate::train) struct Contribution {
    /// `None` where a part has none, which is less than one of zeros: nothing is added for it.
    pub tensors: Vec<Option<Tensor>>,
    pub numbers: Vec<f64>,
}

impl Contribution {
    /// The sum of two of the same step.
    ///
    /// # Errors
    /// If tensors of a place are of two shapes.
    pub(in crate::train) fn plus(self, other: Self) -> Result<Self> {
        let tensors = self.tensors.into_iter().zip(other.tensors);
        let sum = |(a, b): (Option<Tensor>, Option<Tensor>)| match (a, b) {
            (Some(a), Some(b)) => Ok(Some((a + b)?)),
            (a, b) => Ok(a.or(b)),
        };
        Ok(Self {
            tensors: tensors.map(sum).collect::<Result<_>>()?,
            numbers: plus(self.numbers, &other.numbers),
        })
    }
}

/// The sum of two lists of numbers, place by place.
pub(in crate::train) fn plus(mut a: Vec<f64>, b: &[f64]) -> Vec<f64> {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    a
}
