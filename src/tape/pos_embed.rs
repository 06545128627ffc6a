//! Resizing the position embedding of a vision transformer.

use candle_core::{Device, Result, Tensor, bail};

/// A position embedding for another grid of patches, as timm's `resample_abs_pos_embed`: the first `prefix` tokens (class token,
/// registers) are kept, the others, a grid of `from` = (rows, columns) in row-major order, are resized to `to`, bicubic with
/// antialias. The same grid gives the same tensor.
///
/// # Shapes
/// `pos_embed` `(1, prefix + from.0·from.1, width)`; result `(1, prefix + to.0·to.1, width)`.
///
/// # Errors
/// If the shape does not fit, or a size is 0.
#[doc(hidden)]
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
    if patches * to.0 * to.1 == 0 {
        bail!(
            "position embedding: cannot resize {}×{} to {}×{}",
            from.0,
            from.1,
            to.0,
            to.1
        )
    }
    // Columns, then rows, each axis as one matrix product.
    let planes = pos_embed.narrow(1, prefix, patches)?.transpose(1, 2)?;
    let narrowed = planes
        .reshape((batch * width * from.0, from.1))?
        .matmul(&weights(from.1, to.1, pos_embed)?.t()?)?
        .reshape((batch * width, from.0, to.1))?;
    let grid = weights(from.0, to.0, pos_embed)?
        .unsqueeze(0)?
        .broadcast_matmul(&narrowed)?
        .reshape((batch, width, to.0 * to.1))?
        .transpose(1, 2)?;
    if prefix == 0 {
        return grid.contiguous();
    }
    Tensor::cat(&[&pos_embed.narrow(1, 0, prefix)?, &grid], 1)
}

/// The matrix `(outputs, inputs)` of one axis in the type and on the device of `like`, as PyTorch's `interpolate`, bicubic with
/// antialias: centres of outer values are half a value from the border, and the filter widens with the reduction, so that every
/// input counts.
fn weights(inputs: usize, outputs: usize, like: &Tensor) -> Result<Tensor> {
    let scale = inputs as f64 / outputs as f64;
    let widening = scale.max(1.0);
    let support = 2.0 * widening;
    let mut matrix = vec![0.0; outputs * inputs];
    for (i, row) in matrix.chunks_exact_mut(inputs).enumerate() {
        let centre = scale * (i as f64 + 0.5);
        let start = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(inputs);
        let row = &mut row[start..end];
        for (j, w) in row.iter_mut().enumerate() {
            *w = cubic(((start + j) as f64 - centre + 0.5) / widening);
        }
        let total: f64 = row.iter().sum();
        row.iter_mut().for_each(|w| *w /= total);
    }
    // Converted on the CPU: not every device has f64.
    Tensor::from_vec(matrix, (outputs, inputs), &Device::Cpu)?
        .to_dtype(like.dtype())?
        .to_device(like.device())
}

/// The weight of a value at distance `d` in a cubic convolution (Keys 1981) with a = −0.5.
fn cubic(d: f64) -> f64 {
    const A: f64 = -0.5;
    let d = d.abs();
    if d < 1.0 {
        ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((d - 5.0) * d + 8.0) * A * d - 4.0 * A
    } else {
        0.0
    }
}
