//! What follows a convolution's sums: bias, normalisation, activation.

use crate::norm::{Norm, Statistics};
use crate::values::{Value, fits};
use crate::weight::{ConvWeight, Kept, Key};
use candle_core::{DType, Result, Tensor, bail};
use hydranet_kernels::activation::Activation;
use hydranet_kernels::columns::{Transform, pattern};
use hydranet_kernels::conv::Fixed;
use hydranet_kernels::geometry::{Conv2dParams, Geometry};
use std::sync::Arc;

/// A convolution with what follows it.
#[derive(Clone)]
pub struct FusedConv {
    /// `(O, C / groups, kh, kw)`, or `(O, C)` of a linear layer at every position.
    pub weight: Tensor,
    /// Where the prepared form of a constant is kept.
    pub(crate) kept: Option<Kept>,
    pub params: Conv2dParams,
    pub epilogue: Epilogue,
}

impl FusedConv {
    pub(crate) fn new(weight: &dyn ConvWeight, params: Conv2dParams, epilogue: Epilogue) -> Self {
        Self {
            weight: weight.tensor().clone(),
            kept: weight.kept().cloned(),
            params,
            epilogue,
        }
    }

    /// Its sizes over a map (batch, H, W, channels).
    pub(crate) fn geometry(&self, [batch, h, w, c]: [usize; 4]) -> Result<Geometry> {
        let mut weight = self.weight.dims().to_vec();
        // A linear layer's weight is that of a pointwise convolution.
        if weight.len() == 2 {
            weight.extend([1, 1]);
        }
        fits(Geometry::new(&[batch, c, h, w], &weight, self.params))
    }
}

/// What follows a convolution's sums.
#[derive(Clone, Default)]
pub struct Epilogue {
    /// Added to the sums before the scale; only without a norm.
    pub(crate) bias: Option<Tensor>,
    /// Scale and shift of each channel.
    pub(crate) gamma: Option<Tensor>,
    pub(crate) beta: Option<Tensor>,
    /// What is subtracted and divided by, if anything.
    pub(crate) norm: Option<(Statistics, f64)>,
    pub activation: Activation,
}

/// Scale and shift of each channel.
pub type ScaleAndShift = (Option<Vec<f64>>, Option<Vec<f64>>);

impl Epilogue {
    /// Normalisation and activation.
    pub(crate) fn norm(norm: &Norm, activation: Activation) -> Self {
        Self {
            gamma: Some(norm.gamma.clone()),
            beta: Some(norm.beta.clone()),
            norm: Some((norm.statistics.clone(), norm.eps)),
            activation,
            ..Self::default()
        }
    }

    /// Whether it is a shift and an activation at most.
    pub(crate) fn is_shifted(&self) -> bool {
        self.bias.is_none() && self.gamma.is_none() && self.norm.is_none()
    }

    /// Whether it is a shift at most.
    pub(crate) fn is_bias(&self) -> bool {
        self.is_shifted() && self.activation == Activation::Identity
    }

    /// Whether nothing follows.
    pub(crate) fn is_nothing(&self) -> bool {
        self.is_bias() && self.beta.is_none()
    }

    /// Whether it depends on the batch.
    pub(crate) fn is_of_batch(&self) -> bool {
        matches!(self.norm, Some((Statistics::Batch, _)))
    }

    /// Its tensors that may be trained.
    fn parameters(&self) -> impl Iterator<Item = &Tensor> {
        [&self.bias, &self.gamma, &self.beta].into_iter().flatten()
    }

    /// Whether a gradient of one of its tensors is wanted.
    pub(crate) fn tracked(&self) -> bool {
        self.parameters().any(Tensor::track_op)
    }

    /// Scale and shift of each of `channels`, where there are any: all of it but the activation.
    ///
    /// # Errors
    /// If it depends on the batch, or a tensor is of another length.
    pub fn affine(&self, channels: usize) -> Result<ScaleAndShift> {
        let constants = Constants::new(self, channels)?;
        let Some((mean, inverse)) = constants.fixed(self)? else {
            bail!("a normalisation by a batch's own statistics cannot be written down")
        };
        let (scale, shift) = constants.affine(&mean, &inverse);
        let scaled = self.gamma.is_some() || self.norm.is_some();
        let shifted = scaled || self.beta.is_some() || self.bias.is_some();
        Ok((scaled.then_some(scale), shifted.then_some(shift)))
    }

    /// All of it over `channels`, ready; `None` if it depends on the batch or a gradient is wanted.
    pub(crate) fn fixed<T: Value>(
        &self,
        channels: usize,
        kept: Option<&Kept>,
    ) -> Result<Option<Arc<Fixed<T>>>> {
        if self.is_of_batch() || self.tracked() {
            return Ok(None);
        }
        let statistics = match &self.norm {
            Some((Statistics::Fixed { mean, var }, _)) => [Some(mean), Some(var)],
            _ => [None; 2],
        };
        let prepare = || {
            let constants = Constants::new(self, channels)?;
            let (mean, inverse) = constants.fixed(self)?.unwrap_or_default();
            let transform = constants.transform(&mean, &inverse, self.activation);
            Ok(Arc::new(Fixed::new(transform, channels)))
        };
        let tensors = self.parameters().chain(statistics.into_iter().flatten());
        let key = Key {
            tensors: tensors.map(Tensor::id).collect(),
            eps: self.norm.as_ref().map(|(_, eps)| *eps),
            activation: self.activation,
        };
        match kept {
            Some(kept) => kept.epilogue(key, prepare),
            None => prepare(),
        }
        .map(Some)
    }
}

/// 1 / √(variance + eps).
pub(crate) fn inverse(var: &[f64], eps: f64) -> Vec<f64> {
    var.iter().map(|v| 1.0 / (v + eps).sqrt()).collect()
}

/// The values of an epilogue.
pub(crate) struct Constants {
    channels: usize,
    bias: Option<Vec<f64>>,
    gamma: Option<Vec<f64>>,
    beta: Option<Vec<f64>>,
}

impl Constants {
    pub(crate) fn new(epilogue: &Epilogue, channels: usize) -> Result<Self> {
        let given = |t: &Option<Tensor>, what: &str| {
            t.as_ref().map(|t| to_f64(t, channels, what)).transpose()
        };
        Ok(Self {
            channels,
            gamma: given(&epilogue.gamma, "gamma")?,
            beta: given(&epilogue.beta, "beta")?,
            bias: given(&epilogue.bias, "bias")?,
        })
    }

    /// What is subtracted and multiplied by, unless it is the batch's.
    pub(crate) fn fixed(&self, epilogue: &Epilogue) -> Result<Option<(Vec<f64>, Vec<f64>)>> {
        let ones = vec![1.0; self.channels];
        Ok(match &epilogue.norm {
            // Adding a bias is subtracting a mean.
            None => Some(match &self.bias {
                Some(bias) => (bias.iter().map(|b| -b).collect(), ones),
                None => (vec![0.0; self.channels], ones),
            }),
            Some((Statistics::Fixed { mean, var }, eps)) => Some((
                to_f64(mean, self.channels, "mean")?,
                inverse(&to_f64(var, self.channels, "variance")?, *eps),
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

    pub(crate) fn transform<T: Value>(
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
pub(crate) fn to_f64(t: &Tensor, channels: usize, what: &str) -> Result<Vec<f64>> {
    if t.dims() != [channels] {
        bail!(
            "convolution: a weight of {channels} output channels needs as many values of {what}, found shape {:?}",
            t.dims()
        )
    }
    t.to_dtype(DType::F64)?.to_vec1()
}
