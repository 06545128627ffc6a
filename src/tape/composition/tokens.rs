//! What is done to the channels of each position, and attention among positions.

use super::conv::per_channel;
use crate::step::NormStep;
use candle_core::{D, Device, Result, Tensor};
use hydranet_kernels::window_layout::WindowLayout;

/// Layer normalisation over the channels.
pub(super) fn layer_norm(x: &Tensor, norm: &NormStep) -> Result<Tensor> {
    normalise(x, norm.eps)?
        .broadcast_mul(&per_channel(&norm.gamma, x)?)?
        .broadcast_add(&per_channel(&norm.beta, x)?)
}

/// (x − mean) / √(variance + eps) along the channels.
fn normalise(x: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(1)?)?;
    let variance = centred.sqr()?.mean_keepdim(1)?;
    centred.broadcast_div(&(variance + eps)?.sqrt()?)
}

/// Global response normalisation.
pub(super) fn response_norm(x: &Tensor, norm: &NormStep) -> Result<Tensor> {
    // Kept off 0, where a root has no derivative: a channel of zeros has gradient 0, as in PyTorch.
    let squares = x.sqr()?.sum_keepdim((2, 3))?;
    let norms = squares.maximum(f64::from(f32::MIN_POSITIVE))?.sqrt()?;
    let mean = (norms.mean_keepdim(1)? + norm.eps)?;
    let relative = norms.broadcast_div(&mean)?;
    let factors = (relative.broadcast_mul(&per_channel(&norm.gamma, x)?)? + 1.0)?;
    x.broadcast_mul(&factors)?
        .broadcast_add(&per_channel(&norm.beta, x)?)
}

/// e^xᵢ / Σⱼ e^xⱼ along the last axis. The greatest value, which is taken off, is a constant to the gradient: the result does not
/// depend on it.
fn softmax(x: &Tensor) -> Result<Tensor> {
    let exp = x
        .broadcast_sub(&x.detach().max_keepdim(D::Minus1)?)?
        .exp()?;
    exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)
}

/// Attention of all positions to each other.
pub(super) fn attention(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, c, h, w) = x.dims4()?;
    let (n, dim) = (h * w, c / 3 / heads);
    let parts = rows(x)?
        .reshape((batch, n, 3, heads, dim))?
        .permute((2, 0, 3, 1, 4))?;
    let part = |i: usize| parts.get(i)?.contiguous();
    let (q, k, v) = (part(0)?, part(1)?.t()?.contiguous()?, part(2)?);
    let scores = (q.matmul(&k)? * (1.0 / (dim as f64).sqrt()))?;
    let y = softmax(&scores)?
        .matmul(&v)?
        .transpose(1, 2)?
        .reshape((batch, n, heads * dim))?;
    planes(&y, (h, w))
}

/// Attention among the positions of each window.
pub(super) fn window_attention(
    x: &Tensor,
    layout: &WindowLayout,
    bias: &Tensor,
    filling: &Tensor,
) -> Result<Tensor> {
    let (batch, c, h, w) = x.dims4()?;
    let (windows, n) = (layout.windows(), layout.tokens());
    let (heads, dim) = (layout.heads, layout.dim);
    let index = |places: Vec<u32>| {
        let count = places.len();
        Tensor::from_vec(places, count, x.device())
    };
    let mut positions = rows(x)?;
    if layout.is_filled() {
        let filling = filling.reshape((1, 1, c))?;
        let filling = filling.broadcast_as((batch, 1, c))?;
        positions = Tensor::cat(&[&positions, &filling.contiguous()?], 1)?;
    }
    let parts = positions
        .index_select(&index(layout.taken())?, 1)?
        .reshape((batch * windows, n, 3, heads, dim))?
        .permute((2, 0, 3, 1, 4))?;
    let part = |i: usize| parts.get(i)?.contiguous();
    let (q, k, v) = (part(0)?, part(1)?.t()?.contiguous()?, part(2)?);
    let scores = (q.matmul(&k)? * (1.0 / (dim as f64).sqrt()))?;
    let mut bias = bias
        .index_select(&index(layout.distances())?, 0)?
        .t()?
        .reshape((1, heads, n, n))?;
    if let Some(unseen) = layout.unseen() {
        // Converted on the CPU: not every device has f64.
        let unseen = Tensor::from_vec(unseen, (windows, 1, n, n), &Device::Cpu)?
            .to_dtype(x.dtype())?
            .to_device(x.device())?;
        bias = bias.broadcast_add(&unseen)?;
    }
    let kinds = bias.dim(0)?;
    let scores = scores
        .reshape((batch * windows / kinds, kinds, heads, n, n))?
        .broadcast_add(&bias)?
        .reshape((batch * windows, heads, n, n))?;
    let y = softmax(&scores)?
        .matmul(&v)?
        .transpose(1, 2)?
        .reshape((batch, windows * n, heads * dim))?
        .index_select(&index(layout.returned())?, 1)?;
    planes(&y, (h, w))
}

/// Squares of four positions as one, continued by zeros.
pub(super) fn merge(x: &Tensor) -> Result<Tensor> {
    let (batch, c, h, w) = x.dims4()?;
    let (rows, cols) = (h.div_ceil(2), w.div_ceil(2));
    x.pad_with_zeros(2, 0, 2 * rows - h)?
        .pad_with_zeros(3, 0, 2 * cols - w)?
        .reshape(vec![batch, c, rows, 2, cols, 2])?
        .permute(vec![0, 5, 3, 1, 2, 4])?
        .reshape((batch, 4 * c, rows, cols))
}

/// Positions as tokens behind those of a prefix, with their embedding.
pub(super) fn tokens(x: &Tensor, prefix: &Tensor, positions: &Tensor) -> Result<Tensor> {
    let patches = rows(x)?;
    let (batch, patch_count, c) = patches.dims3()?;
    let (_, p, _) = prefix.dims3()?;
    let prefix = prefix.broadcast_as((batch, p, c))?.contiguous()?;
    let y = if positions.dims() == [1, p + patch_count, c] {
        Tensor::cat(&[&prefix, &patches], 1)?.broadcast_add(positions)?
    } else {
        Tensor::cat(&[&prefix, &patches.broadcast_add(positions)?], 1)?
    };
    planes(&y, (1, p + patch_count))
}

/// Some tokens of each image.
pub(super) fn some(x: &Tensor, place: usize, count: usize) -> Result<Tensor> {
    let y = x.flatten_from(2)?.narrow(2, place, count)?;
    y.unsqueeze(2)?.contiguous()
}

/// A map `(batch, channels, H, W)` as `(batch, H · W, channels)`.
fn rows(x: &Tensor) -> Result<Tensor> {
    x.flatten_from(2)?.transpose(1, 2)?.contiguous()
}

/// The reverse of [`rows`].
fn planes(x: &Tensor, (h, w): (usize, usize)) -> Result<Tensor> {
    let (batch, _, c) = x.dims3()?;
    x.transpose(1, 2)?.reshape((batch, c, h, w))
}
