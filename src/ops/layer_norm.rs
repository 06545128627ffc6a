//! Layer normalisation (Ba, Kiros, Hinton 2016): along the last axis, and over the channels of each position of an image.
//!
//! With x̂ = (x − mean) / √(variance + eps) and g = gamma · dy: dx = (g − mean of g − x̂ · mean of g·x̂) / √(variance + eps). Backward
//! keeps the mean and 1/√(variance + eps) of each row or position and recomputes the rest.

use super::shared::{lock, tensor, typed, typed_storage, values, with_values};
use super::simd::Real;
use super::{fallback, norm_columns, norm_rows};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use std::sync::Mutex;

/// y = (x − mean) / √(variance + eps) · gamma + beta, mean and (biased) variance being those of each row along the last axis.
///
/// # Shapes
/// `x` `(…, d)`, `gamma` and `beta` `(d)`; the result is shaped as `x`.
///
/// # Errors
/// If shapes do not fit, or the type is not a floating-point one (on the CPU: neither `f32` nor `f64`).
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::layer_norm(x, gamma, beta, eps);
    }
    run(x, gamma, beta, eps, Axis::Last)
}

/// [`layer_norm`] over the channels of each position, as in ConvNeXt (Liu et al. 2022) and as `LayerNorm2d` in timm.
///
/// # Shapes
/// `x` `(batch, C, H, W)`, `gamma` and `beta` `(C)`; the result is shaped as `x`.
///
/// # Errors
/// As [`layer_norm`].
pub fn layer_norm_2d(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::layer_norm_2d(x, gamma, beta, eps);
    }
    run(x, gamma, beta, eps, Axis::Channels)
}

fn run(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64, axis: Axis) -> Result<Tensor> {
    let (x, gamma, beta) = (x.contiguous()?, gamma.contiguous()?, beta.contiguous()?);
    let op = LayerNorm {
        eps,
        axis,
        kept: Mutex::new(None),
    };
    if x.track_op() || gamma.track_op() || beta.track_op() {
        x.apply_op3(&gamma, &beta, op)
    } else {
        x.apply_op3_no_bwd(&gamma, &beta, &op)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Last,
    Channels,
}

struct LayerNorm {
    eps: f64,
    axis: Axis,
    /// `(2, rows)`, see [`Moments`].
    kept: Mutex<Option<Tensor>>,
}

/// Mean and 1/√(variance + eps) of each row or position.
pub(crate) struct Moments<'a, T> {
    pub means: &'a [T],
    pub inverses: &'a [T],
}

/// Values and gradients of the arguments, the latter of gamma and beta.
pub(crate) type Backward<T> = (Vec<T>, Vec<T>, Vec<T>);

impl LayerNorm {
    fn fwd<T: Real>(&self, dims: &[usize], x: &[T], gamma: &[T], beta: &[T]) -> Result<Vec<T>> {
        let eps = T::from_f64(self.eps);
        let (y, moments) = match (self.axis, dims) {
            (Axis::Channels, &[_, _, h, w]) => norm_columns::forward(x, h * w, gamma, beta, eps),
            _ => norm_rows::forward(x, gamma, beta, eps),
        };
        let rows = moments.len() / 2;
        *lock(&self.kept) = Some(tensor(moments, &[2, rows])?);
        Ok(y)
    }

    fn back<T: Real>(&self, [x, gamma, beta]: [&Tensor; 3], dy: &Tensor) -> Result<Gradients> {
        let kept = lock(&self.kept);
        let Some(moments) = &*kept else {
            bail!("layer norm: backward without forward")
        };
        let (dx, d_gamma, d_beta) = with_values(moments, |moments: &[T]| {
            let (means, inverses) = moments.split_at(moments.len() / 2);
            let moments = Moments { means, inverses };
            with_values(x, |values| {
                with_values(gamma, |gamma| {
                    with_values(dy, |dy| {
                        Ok(match (self.axis, x.dims()) {
                            (Axis::Channels, &[_, _, h, w]) => {
                                norm_columns::backward(values, dy, h * w, gamma, &moments)
                            }
                            _ => norm_rows::backward(values, dy, gamma, &moments),
                        })
                    })
                })
            })
        })?;
        let of = |argument: &Tensor, gradient| {
            let tracked = argument.track_op();
            tracked
                .then(|| tensor(gradient, argument.dims()))
                .transpose()
        };
        Ok((of(x, dx)?, of(gamma, d_gamma)?, of(beta, d_beta)?))
    }
}

type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "hydranet-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gamma: &CpuStorage,
        gamma_layout: &Layout,
        beta: &CpuStorage,
        beta_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let dims = x_layout.dims();
        let size = match (self.axis, dims) {
            (Axis::Last, &[.., d]) => d,
            (Axis::Channels, &[_, c, _, _]) => c,
            (Axis::Last, _) => bail!("layer norm: expected x (…, d), found {dims:?}"),
            (Axis::Channels, _) => {
                bail!("layer norm over channels: expected x (batch, C, H, W), found {dims:?}")
            }
        };
        if size == 0 || gamma_layout.dims() != [size] || beta_layout.dims() != [size] {
            bail!(
                "layer norm: x {dims:?} needs as many scales and shifts as values to normalise, at least one; found {:?} and {:?}",
                gamma_layout.dims(),
                beta_layout.dims()
            )
        }
        let storage = typed_storage!("layer norm", x, T => self.fwd::<T>(
            dims,
            values(x, x_layout)?,
            values(gamma, gamma_layout)?,
            values(beta, beta_layout)?,
        )?);
        Ok((storage, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<Gradients> {
        typed!("layer norm", x, T => self.back::<T>([x, gamma, beta], dy))
    }
}
