//! What follows a convolution's sums: bias, normalisation, activation.

use super::columns::{Transform, pattern};
use super::product::Shifts;
use super::weight::{Kept, Key};
use crate::norm::{Activation, Norm, Statistics};
use crate::simd::Real;
use candle_core::{DType, Result, Tensor, bail};
use std::sync::Arc;

/// What follows a convolution's sums.
pub(crate) struct Follow<'a> {
    /// Added to the sums before the scale; only without a norm.
    pub bias: Option<&'a Tensor>,
    /// Scale and shift of each channel.
    pub gamma: Option<&'a Tensor>,
    pub beta: Option<&'a Tensor>,
    /// What is subtracted and divided by, if anything.
    pub norm: Option<(&'a Statistics, f64)>,
    pub activation: Activation,
}

impl<'a> Follow<'a> {
    /// Normalisation and activation.
    pub(super) fn norm(norm: &'a Norm, activation: Activation) -> Self {
        Self {
            bias: None,
            gamma: Some(norm.gamma),
            beta: Some(norm.beta),
            norm: Some((&norm.statistics, norm.eps)),
            activation,
        }
    }

    /// Whether it is a shift at most.
    pub(super) fn is_bias(&self) -> bool {
        self.bias.is_none()
            && self.gamma.is_none()
            && self.norm.is_none()
            && self.activation == Activation::Identity
    }

    /// Whether nothing follows.
    pub(super) fn is_nothing(&self) -> bool {
        self.is_bias() && self.beta.is_none()
    }

    /// Whether a gradient of one of its tensors is wanted.
    pub(super) fn tracked(&self) -> bool {
        [self.bias, self.gamma, self.beta]
            .into_iter()
            .flatten()
            .any(Tensor::track_op)
    }

    /// Scale and shift of each of `channels`, which is all of it but the activation; `None` if it depends on the batch.
    pub(super) fn affine(&self, channels: usize) -> Result<Option<(Vec<f64>, Vec<f64>)>> {
        let constants = Constants::new(self, channels)?;
        let fixed = constants.fixed(self)?;
        Ok(fixed.map(|(mean, inverse)| constants.affine(&mean, &inverse)))
    }

    /// All of it over `channels`, ready; `None` if it depends on the batch or a gradient is wanted.
    pub(super) fn fixed<T: Real>(
        &self,
        channels: usize,
        kept: Option<&Kept>,
    ) -> Result<Option<Arc<Fixed<T>>>> {
        let statistics = match self.norm {
            Some((Statistics::Batch, _)) => return Ok(None),
            Some((Statistics::Fixed { mean, var }, _)) => [Some(mean), Some(var)],
            None => [None; 2],
        };
        if self.tracked() {
            return Ok(None);
        }
        let prepare = || {
            let constants = Constants::new(self, channels)?;
            let (mean, inverse) = constants.fixed(self)?.unwrap_or_default();
            let transform = constants.transform(&mean, &inverse, self.activation);
            Ok(Arc::new(Fixed::new(transform, channels)))
        };
        let tensors = [self.bias, self.gamma, self.beta]
            .into_iter()
            .chain(statistics)
            .flatten();
        let key = Key {
            tensors: tensors.map(Tensor::id).collect(),
            eps: self.norm.map(|(_, eps)| eps),
            activation: self.activation,
        };
        match kept {
            Some(kept) => kept.follow(key, prepare),
            None => prepare(),
        }
        .map(Some)
    }
}

/// What follows a convolution, where it is known beforehand.
pub(super) struct Fixed<T> {
    pub transform: Transform<T>,
    /// The same, where it can be done in registers.
    pub shifts: Option<Shifts<T>>,
}

impl<T: Real> Fixed<T> {
    pub(super) fn new(transform: Transform<T>, channels: usize) -> Self {
        let shifts = Shifts::new(&transform, channels);
        Self { transform, shifts }
    }
}

/// 1 / √(variance + eps).
pub(super) fn inverse(var: &[f64], eps: f64) -> Vec<f64> {
    var.iter().map(|v| 1.0 / (v + eps).sqrt()).collect()
}

/// The values of what follows.
pub(super) struct Constants {
    channels: usize,
    bias: Option<Vec<f64>>,
    gamma: Option<Vec<f64>>,
    beta: Option<Vec<f64>>,
}

impl Constants {
    pub(super) fn new(follow: &Follow, channels: usize) -> Result<Self> {
        let given =
            |t: Option<&Tensor>, what: &str| t.map(|t| to_f64(t, channels, what)).transpose();
        Ok(Self {
            channels,
            gamma: given(follow.gamma, "gamma")?,
            beta: given(follow.beta, "beta")?,
            bias: given(follow.bias, "bias")?,
        })
    }

    /// What is subtracted and multiplied by, unless it is the batch's.
    pub(super) fn fixed(&self, follow: &Follow) -> Result<Option<(Vec<f64>, Vec<f64>)>> {
        let ones = vec![1.0; self.channels];
        Ok(match follow.norm {
            // Adding a bias is subtracting a mean.
            None => Some(match &self.bias {
                Some(bias) => (bias.iter().map(|b| -b).collect(), ones),
                None => (vec![0.0; self.channels], ones),
            }),
            Some((Statistics::Fixed { mean, var }, eps)) => Some((
                to_f64(mean, self.channels, "mean")?,
                inverse(&to_f64(var, self.channels, "variance")?, eps),
            )),
            Some((Statistics::Batch, _)) => None,
        })
    }

    /// Scale and shift of each channel.
    fn affine(&self, mean: &[f64], inverse: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let scale: Vec<f64> = match &self.gamma {
            Some(gamma) => gamma.iter().zip(inverse).map(|(g, i)| g * i).collect(),
            None => inverse.to_vec(),
        };
        let zeros = vec![0.0; self.channels];
        let shift = self.beta.as_ref().unwrap_or(&zeros);
        let shift = shift
            .iter()
            .zip(mean)
            .zip(&scale)
            .map(|((b, m), s)| b - m * s)
            .collect();
        (scale, shift)
    }

    pub(super) fn transform<T: Real>(
        &self,
        mean: &[f64],
        inverse: &[f64],
        activation: Activation,
    ) -> Transform<T> {
        let (scale, shift) = self.affine(mean, inverse);
        let [scale, shift] = [scale, shift].map(|v| pattern(v.into_iter()));
        Transform::new(scale, shift, activation)
    }
}

/// One value a channel.
pub(super) fn to_f64(t: &Tensor, channels: usize, what: &str) -> Result<Vec<f64>> {
    if t.dims() != [channels] {
        bail!(
            "convolution: a weight of {channels} output channels needs as many values of {what}, found shape {:?}",
            t.dims()
        )
    }
    t.to_dtype(DType::F64)?.to_vec1()
}
