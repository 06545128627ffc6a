//! The operators as compositions of candle's own, for devices that hydranet has no kernels for.
//!
//! Only operators of candle whose gradients are right are used: none of its convolutions, poolings or upsamplings. Everything that
//! moves a window over planes is one `index_select` of positions; what it does with the values found is a matrix product, a sum,
//! or a choice. The functions work on every device; the CPU's tests compare them with the kernels.

mod conv;
mod interpolate;
mod pool;
mod tokens;

pub(super) use conv::{activate, per_channel};
pub use conv::{conv2d, conv2d_norm_act};
pub use interpolate::interpolate;
pub use pool::{avg_pool2d, max_pool2d};
pub use tokens::{
    attention, attention_qkv, layer_norm, layer_norm_2d, linear, log_softmax, pointwise, softmax,
};

use candle_core::{D, Result, Tensor, bail};

/// As [`global_avg_pool`](super::global_avg_pool).
///
/// # Errors
/// If `x` has another rank or no position.
pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    if h * w == 0 {
        bail!("global average pool: expected at least one position, found {h}×{w}")
    }
    x.flatten_from(2)?.mean(D::Minus1)
}

/// As [`scale`](super::scale).
///
/// # Errors
/// If the number of factors does not divide that of values.
pub fn scale(x: &Tensor, factors: Vec<f32>) -> Result<Tensor> {
    let (n, count) = (x.elem_count(), factors.len());
    if count == 0 || !n.is_multiple_of(count) {
        bail!("scale: {count} factors do not divide {n} values")
    }
    // A product with a tensor: candle drops the gradient of a product with the number 0.
    let factors = Tensor::from_vec(factors, (count, 1), x.device())?.to_dtype(x.dtype())?;
    x.reshape((count, n / count))?
        .broadcast_mul(&factors)?
        .reshape(x.shape())
}
