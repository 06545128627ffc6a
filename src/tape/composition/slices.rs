//! What windows that move over planes see of them, as slices: an index of every position would do too, but its gradient is a
//! sum by index, which other devices make one position after the other.

use candle_core::{Result, Tensor};
use hydranet_kernels::geometry::Geometry;

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
    /// A convolution's, over rows and columns.
    pub fn of(g: &Geometry) -> (Self, Self) {
        let ([top, _, left, _], dilation, stride) = (g.p.padding, g.p.dilation, g.p.stride);
        let way = |before, taps, dilation, stride, out| Self {
            before,
            taps,
            dilation,
            stride,
            out,
        };
        (
            way(top, g.kh, dilation.0, stride.0, g.oh),
            way(left, g.kw, dilation.1, stride.1, g.ow),
        )
    }

    /// The plane's length with zeros around it: all that windows see, in whole strides.
    pub fn padded(&self, len: usize) -> usize {
        let seen = (self.out - 1) * self.stride + (self.taps - 1) * self.dilation + 1;
        seen.max(self.before + len).next_multiple_of(self.stride)
    }
}

/// The way back along one axis: which windows have seen a value.
pub(super) struct Back {
    /// How far before a value the first window began that may have seen it, in windows.
    pub reach: usize,
    /// Values a stride apart that hold the whole axis, with the zeros before it.
    pub len: usize,
    windows: Way,
}

impl Back {
    /// Over an axis of `len` values.
    pub fn new(windows: Way, len: usize) -> Self {
        Self {
            reach: (windows.taps - 1) * windows.dilation / windows.stride,
            len: (windows.before + len).div_ceil(windows.stride),
            windows,
        }
    }

    /// How values a stride apart see the windows.
    pub fn way(&self) -> Way {
        Way {
            before: self.reach,
            taps: self.reach + 1,
            dilation: 1,
            stride: 1,
            out: self.len,
        }
    }

    /// For the values whose places have the remainder `phase` by the stride: each element of a window that lay over them, and
    /// which window it was in, counted from the first that may have been.
    pub fn met(&self, phase: usize) -> impl Iterator<Item = (usize, usize)> {
        let windows = self.windows;
        (0..windows.taps)
            .map(move |tap| (tap, tap * windows.dilation))
            .filter(move |(_, place)| place % windows.stride == phase)
            .map(move |(tap, place)| (tap, self.reach - place / windows.stride))
    }
}

/// One tensor a phase, next to each other along a new axis.
pub(super) fn joined(phases: Vec<Tensor>, axis: usize) -> Result<Tensor> {
    match &phases[..] {
        [one] => one.unsqueeze(axis),
        phases => Tensor::stack(phases, axis),
    }
}

/// What windows see: for each element of a window, row by row, the value under it in every window. The windows of a row of planes
/// stand one after the other, and behind them are some that reach over its end, so that each element is one long slice.
pub(super) struct Seen {
    /// `(batch, C, rows.out · width)`, one an element.
    pub taps: Vec<Tensor>,
    /// Windows of a row, those that reach over its end among them.
    pub width: usize,
    rows: usize,
    cols: usize,
}

impl Seen {
    /// Of `x` `(batch, C, H, W)`.
    pub fn of(x: &Tensor, rows: Way, cols: Way) -> Result<Self> {
        let (batch, c, h, w) = x.dims4()?;
        let (s, t) = (rows.stride, cols.stride);
        // A row more than is seen, for the last windows that reach over an end.
        let (height, width) = (rows.padded(h) + s, cols.padded(w));
        let padded = x
            .pad_with_zeros(2, rows.before, height - h - rows.before)?
            .pad_with_zeros(3, cols.before, width - w - cols.before)?;
        let strides = padded.reshape(&[batch, c, height / s, s, width / t, t])?;
        // What windows a stride apart see, next to each other: of the stride × stride such planes those that any element sees.
        let plane = |i: usize, j: usize| {
            let plane = strides.narrow(3, i, 1)?.narrow(5, j, 1)?;
            plane.reshape((batch, c, height / s * (width / t)))
        };
        let mut planes = vec![None; s * t];
        let mut taps = Vec::with_capacity(rows.taps * cols.taps);
        for dy in (0..rows.taps).map(|i| i * rows.dilation) {
            for dx in (0..cols.taps).map(|j| j * cols.dilation) {
                let (i, j) = (dy % s, dx % t);
                let plane: &Tensor = match &mut planes[i * t + j] {
                    Some(plane) => plane,
                    none => none.insert(plane(i, j)?),
                };
                let start = dy / s * (width / t) + dx / t;
                taps.push(plane.narrow(2, start, rows.out * (width / t))?);
            }
        }
        Ok(Self {
            taps,
            width: width / t,
            rows: rows.out,
            cols: cols.out,
        })
    }

    /// What some of the elements see, one after the other for each channel: `(batch, C · elements, rows.out · width)`.
    pub fn columns(&self, taps: impl IntoIterator<Item = usize>) -> Result<Tensor> {
        let taps: Vec<_> = taps.into_iter().map(|tap| &self.taps[tap]).collect();
        let columns = Tensor::stack(&taps, 2)?;
        let (batch, c, elements, positions) = columns.dims4()?;
        columns.reshape((batch, c * elements, positions))
    }

    /// A result for all windows, `(batch, C, rows.out · width)`, without those that reach over an end:
    /// `(batch, C, rows.out, cols.out)`.
    pub fn windows(&self, all: &Tensor) -> Result<Tensor> {
        let (batch, c, _) = all.dims3()?;
        let all = all.reshape((batch, c, self.rows, self.width))?;
        all.narrow(3, 0, self.cols)?.contiguous()
    }
}
