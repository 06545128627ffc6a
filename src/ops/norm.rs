//! Batch normalisation: what it divides by, what is found on the way; and the activations that are done together with it.

use super::pointwise::Pointwise;
use super::simd::Real;
use candle_core::Tensor;

/// The activation after a normalisation or a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// None.
    #[default]
    Identity,
    /// max(v, 0); gradient 0 at 0, as in PyTorch.
    Relu,
    /// min(max(v, 0), 6); gradient 0 at 0 and at 6, as in PyTorch.
    Relu6,
    /// 1 / (1 + e^(−v)), see [`Pointwise::Sigmoid`].
    Sigmoid,
    /// See [`Pointwise::HardSigmoid`].
    HardSigmoid,
    /// v · sigmoid(v), see [`Pointwise::Silu`].
    Silu,
    /// See [`Pointwise::HardSwish`].
    HardSwish,
    /// v · Φ(v), see [`Pointwise::Gelu`].
    Gelu,
    /// See [`Pointwise::GeluTanh`].
    GeluTanh,
}

impl Activation {
    /// The function of one value that it is.
    pub(crate) fn pointwise(self) -> Option<Pointwise> {
        match self {
            Self::Identity => None,
            Self::Relu => Some(Pointwise::Relu),
            Self::Relu6 => Some(Pointwise::Relu6),
            Self::Sigmoid => Some(Pointwise::Sigmoid),
            Self::HardSigmoid => Some(Pointwise::HardSigmoid),
            Self::Silu => Some(Pointwise::Silu),
            Self::HardSwish => Some(Pointwise::HardSwish),
            Self::Gelu => Some(Pointwise::Gelu),
            Self::GeluTanh => Some(Pointwise::GeluTanh),
        }
    }

    /// The same, where it is more than an interval.
    pub(crate) fn curve(self) -> Option<Pointwise> {
        self.pointwise()
            .filter(|f| !matches!(f, Pointwise::Relu | Pointwise::Relu6))
    }

    /// The interval values are clamped to.
    pub(crate) fn bounds<T: Real>(self) -> (T, T) {
        let (low, high) = match self {
            Self::Relu => (0.0, f64::INFINITY),
            Self::Relu6 => (0.0, 6.0),
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        };
        (T::from_f64(low), T::from_f64(high))
    }
}

/// Mean and sum of squared deviations of some values, and their count: what can be joined exactly.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    pub count: f64,
    pub mean: f64,
    pub m2: f64,
}

impl Moments {
    /// Joins two sets (Chan, Golub, LeVeque 1979).
    pub(crate) fn join(self, other: Self) -> Self {
        if other.count == 0.0 {
            return self;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + delta * other.count / count,
            m2: self.m2 + other.m2 + delta * delta * self.count * other.count / count,
        }
    }
}

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

/// Mean and variance of each channel over a batch, and the number of values they are of.
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
