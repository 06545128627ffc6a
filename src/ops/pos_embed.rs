//! Resizing the position embedding of a vision transformer.

use super::interpolate::{ResizeFilter, interpolate};
use candle_core::{Result, Tensor, bail};

/// A position embedding for another grid of patches, as timm's `resample_abs_pos_embed`: the first `prefix` tokens (class token,
/// registers) are kept, the others, a grid of `from` = (rows, columns) in row-major order, are resized to `to`, bicubic with
/// antialias. The same grid gives the same tensor.
///
/// # Shapes
/// `pos_embed` `(1, prefix + from.0·from.1, width)`; result `(1, prefix + to.0·to.1, width)`.
///
/// # Errors
/// If the shape does not fit, or as [`interpolate`].
pub fn resample_pos_embed(
    pos_embed: &Tensor,
    prefix: usize,
    from: (usize, usize),
    to: (usize, usize),
) -> Result<Tensor> {
    let &[batch, tokens, width] = pos_embed.dims() else {
        bail!(
            "position embedding: expected (1, tokens, width), found {:?}",
            pos_embed.dims()
        )
    };
    let patches = from.0 * from.1;
    if tokens != prefix + patches {
        bail!(
            "position embedding: expected {prefix} + {}·{} tokens, found {tokens}",
            from.0,
            from.1
        )
    }
    if from == to {
        return Ok(pos_embed.clone());
    }
    let planes = pos_embed
        .narrow(1, prefix, patches)?
        .transpose(1, 2)?
        .reshape((batch, width, from.0, from.1))?;
    let grid = interpolate(&planes, to, ResizeFilter::Bicubic, true)?
        .reshape((batch, width, to.0 * to.1))?
        .transpose(1, 2)?;
    if prefix == 0 {
        return grid.contiguous();
    }
    Tensor::cat(&[&pos_embed.narrow(1, 0, prefix)?, &grid], 1)
}
