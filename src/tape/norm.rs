//! Batch normalisation: what it divides by, and what is found on the way.

use candle_core::Tensor;

/// The statistics a batch normalisation divides by.
#[derive(Clone, Debug)]
pub enum Statistics {
    /// Those of the batch, found in the forward pass and part of the gradient.
    Batch,
    /// Fixed ones, `(C)` each: constants to the gradient.
    Fixed {
        /// Mean of each channel.
        mean: Tensor,
        /// Variance of each channel.
        var: Tensor,
    },
}

/// Mean and variance of each channel over a batch, and the number of values they are of; empty where running statistics are not to
/// be moved by them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchMoments {
    /// Mean of each channel.
    pub mean: Vec<f64>,
    /// Biased variance (divided by `count`) of each channel.
    pub var: Vec<f64>,
    /// Values a channel: batch · H · W.
    pub count: f64,
}

/// A batch normalisation: y = (x − mean) / √(var + eps) · gamma + beta (Ioffe and Szegedy 2015).
#[derive(Clone, Debug)]
pub struct Norm<'a> {
    /// Scale, `(C)`.
    pub gamma: &'a Tensor,
    /// Shift, `(C)`.
    pub beta: &'a Tensor,
    /// Added to the variance.
    pub eps: f64,
    /// What it divides by.
    pub statistics: Statistics,
}
