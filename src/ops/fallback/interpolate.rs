//! Resizing.

use super::super::interpolate::{ResizeFilter, Weights, axes};
use candle_core::{Device, Result, Tensor};

/// As [`interpolate`](crate::interpolate).
///
/// # Errors
/// If the shape does not fit or a size is 0.
pub fn interpolate(
    x: &Tensor,
    size: (usize, usize),
    filter: ResizeFilter,
    antialias: bool,
) -> Result<Tensor> {
    let (rows, cols) = axes(x.dims(), size, filter, antialias)?;
    let (batch, c, h, w) = x.dims4()?;
    // Columns, then rows, each axis as one matrix product.
    let narrowed = x
        .reshape((batch * c * h, w))?
        .matmul(&matrix(&cols, x)?.t()?)?
        .reshape((batch * c, h, size.1))?;
    matrix(&rows, x)?
        .unsqueeze(0)?
        .broadcast_matmul(&narrowed)?
        .reshape((batch, c, size.0, size.1))
}

/// The weights `(outputs, inputs)` in the type and on the device of `like`.
fn matrix(weights: &Weights, like: &Tensor) -> Result<Tensor> {
    // Converted on the CPU: not every device has f64.
    Tensor::from_vec(
        weights.dense(),
        (weights.outputs(), weights.inputs),
        &Device::Cpu,
    )?
    .to_dtype(like.dtype())?
    .to_device(like.device())
}
