//! Single convolutions over candle's tensors, as tapes of one step.

use super::fallback;
use super::geometry::Conv2dParams;
use super::norm::{Activation, BatchMoments, Norm};
use super::tape::Tape;
use candle_core::{Result, Tensor};

/// Convolution, batch normalisation and activation as one operator. Backward keeps the convolution's sums and recomputes the rest.
///
/// The second value holds the batch's moments with [`Statistics::Batch`](super::Statistics::Batch); it is empty with fixed ones.
///
/// # Shapes
/// `x` `(batch, C, H, W)`, `weight` `(O, C / groups, kh, kw)`; result `(batch, O, H', W')`, see [`Conv2dParams`].
///
/// # Errors
/// If shapes do not fit, or on the CPU if the type is neither `f32` nor `f64`.
pub fn conv2d_norm_act(
    x: &Tensor,
    weight: &Tensor,
    params: Conv2dParams,
    norm: &Norm,
    activation: Activation,
) -> Result<(Tensor, BatchMoments)> {
    if !x.device().is_cpu() {
        return fallback::conv2d_norm_act(x, weight, params, norm, activation);
    }
    let (mut tape, x) = Tape::new(x)?;
    let (y, moments) = tape.conv_norm(&x, weight, params, norm, activation)?;
    Ok((tape.finish(&y)?, moments))
}

/// Convolution with optional bias and an activation.
///
/// # Shapes
/// As [`conv2d_norm_act`]; `bias` `(O)`.
///
/// # Errors
/// As [`conv2d_norm_act`].
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: Conv2dParams,
    activation: Activation,
) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::conv2d(x, weight, bias, params, activation);
    }
    let (mut tape, x) = Tape::new(x)?;
    let y = tape.conv(&x, weight, bias, params, activation)?;
    tape.finish(&y)
}
