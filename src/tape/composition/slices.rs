//! What windows that move over planes see of them, as slices: an index of every position would do too, but its gradient is a
//! sum by index, which other devices make one position after the other.

use candle_core::{Result, Tensor};

/// One axis of the windows' way.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// Zeros before the plane.
    pub before: usize,
    /// Elements of a window, and the distance between them.
    pub taps: usize,
    pub dilation: usize,
    /// Distance between windows, and their number.
    pub stride: usize,
    pub out: usize,
}

impl Way {
    /// The plane's length with zeros around it: all that windows see, in whole strides.
    fn padded(&self, len: usize) -> usize {
        let seen = (self.out - 1) * self.stride + (self.taps - 1) * self.dilation + 1;
        seen.max(self.before + len).next_multiple_of(self.stride)
    }
}

/// For each element of a window, row by row, the values under it: `(batch, C, rows.out, cols.out)` of `x` `(batch, C, H, W)`.
pub(super) fn slices(x: &Tensor, rows: Way, cols: Way) -> Result<Vec<Tensor>> {
    let (batch, c, h, w) = x.dims4()?;
    let (height, width) = (rows.padded(h), cols.padded(w));
    let padded = x
        .pad_with_zeros(2, rows.before, height - h - rows.before)?
        .pad_with_zeros(3, cols.before, width - w - cols.before)?;
    // A plane of strides by strides: what stands at the same place in each is a slice.
    let (s, t) = (rows.stride, cols.stride);
    let strides = padded.reshape(&[batch, c, height / s, s, width / t, t])?;
    let mut found = Vec::with_capacity(rows.taps * cols.taps);
    for dy in (0..rows.taps).map(|i| i * rows.dilation) {
        let row = strides.narrow(3, dy % s, 1)?.narrow(2, dy / s, rows.out)?;
        for dx in (0..cols.taps).map(|j| j * cols.dilation) {
            let values = row.narrow(5, dx % t, 1)?.narrow(4, dx / t, cols.out)?;
            found.push(values.reshape((batch, c, rows.out, cols.out))?);
        }
    }
    Ok(found)
}
