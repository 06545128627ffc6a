//! A part of an image in the size of the whole.

use candle_core::{Result, Tensor};

/// For each of `size` pixels across a part of so many shares `from` to `to` of a side of `size` pixels, how much of each pixel of
/// the side it is: linear interpolation between the centres of pixels, as PyTorch's `grid_sample` without `align_corners` and
/// with the border's values beyond it. Row after row `(size, size)`.
pub(crate) fn sampled(size: usize, [from, to]: [f64; 2]) -> Vec<f32> {
    let mut rows = vec![0f32; size * size];
    let last = size.saturating_sub(1);
    for (i, row) in rows.chunks_exact_mut(size.max(1)).enumerate() {
        let share = from + (to - from) * (i as f64 + 0.5) / size as f64;
        let at = (share * size as f64 - 0.5).clamp(0.0, last as f64);
        let (below, part) = (at.floor() as usize, at.fract());
        row[below] += (1.0 - part) as f32;
        row[(below + 1).min(last)] += part as f32;
    }
    rows
}

/// The part `[top, left, bottom, right]`, in shares, of images `(batch, channels, H, W)`, of the same size.
pub(super) fn cropped(images: &Tensor, [top, left, bottom, right]: [f64; 4]) -> Result<Tensor> {
    let (batch, channels, h, w) = images.dims4()?;
    let table = |size, sides| {
        let table = Tensor::from_vec(sampled(size, sides), (size, size), images.device())?;
        table.to_dtype(images.dtype())
    };
    let (down, across) = (table(h, [top, bottom])?, table(w, [left, right])?);
    let rows = images.contiguous()?.reshape((batch * channels * h, w))?;
    let x = rows
        .matmul(&across.t()?)?
        .reshape((batch * channels, h, w))?;
    let down = down.unsqueeze(0)?.broadcast_as((batch * channels, h, h))?;
    down.contiguous()?
        .matmul(&x)?
        .reshape((batch, channels, h, w))
}
