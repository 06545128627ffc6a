//! Sizes of a pooling, and which outputs see an input.

use candle_core::{Result, bail};
use std::ops::Range;

/// One axis of a pooling: `len` inputs under windows of `kernel` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub len: usize,
    pub out: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
}

impl Axis {
    /// out = (len + 2·padding − dilation·(kernel − 1) − 1) / stride + 1, rounded down; with `ceil` rounded up, but a last window
    /// that would start in the padding behind the input is left out, as in PyTorch.
    fn new(
        len: usize,
        (kernel, stride, padding, dilation): (usize, usize, usize, usize),
        ceil: bool,
    ) -> Result<Self> {
        if len == 0 || kernel == 0 || stride == 0 || dilation == 0 {
            bail!(
                "pooling: size, kernel, stride and dilation must be at least 1, found {len}, {kernel}, {stride}, {dilation}"
            )
        }
        if padding > kernel / 2 {
            bail!(
                "pooling: padding must be at most half the kernel, found {padding} with kernel {kernel}"
            )
        }
        let (padded, span) = (len + 2 * padding, dilation * (kernel - 1) + 1);
        let mut out = if padded >= span {
            (padded - span + if ceil { stride - 1 } else { 0 }) / stride + 1
        } else {
            usize::from(ceil && span - padded < stride)
        };
        if ceil && out > 0 && (out - 1) * stride >= len + padding {
            out -= 1;
        }
        if out == 0 {
            bail!("pooling: kernel spans {span} values, the padded input has only {padded}")
        }
        Ok(Self {
            len,
            out,
            kernel,
            stride,
            padding,
            dilation,
        })
    }

    /// The input under element `tap` of window `at`, if it is not padding.
    pub(crate) fn input(&self, at: usize, tap: usize) -> Option<usize> {
        (at * self.stride + tap * self.dilation)
            .checked_sub(self.padding)
            .filter(|i| *i < self.len)
    }

    /// The windows whose element `tap` lies inside the input, and the input under the first of them.
    pub(crate) fn inside(&self, tap: usize) -> (Range<usize>, usize) {
        let offset = tap * self.dilation;
        let first = self.padding.saturating_sub(offset).div_ceil(self.stride);
        let end = (self.len + self.padding)
            .saturating_sub(offset)
            .div_ceil(self.stride)
            .min(self.out);
        if first < end {
            (first..end, first * self.stride + offset - self.padding)
        } else {
            (0..0, 0)
        }
    }

    /// The values window `at` covers: those inside the input, and those inside the input and its padding.
    pub(crate) fn covered(&self, at: usize) -> (usize, usize) {
        let start = at * self.stride;
        let end = (start + self.kernel).min(self.len + 2 * self.padding);
        let inside = end
            .min(self.len + self.padding)
            .saturating_sub(start.max(self.padding));
        (inside, end.saturating_sub(start))
    }
}

/// (kernel, stride, padding, dilation) of both axes, each (vertical, horizontal).
pub(crate) type Pairs = [(usize, usize); 4];

/// All sizes of one pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub batch: usize,
    pub c: usize,
    pub rows: Axis,
    pub cols: Axis,
}

impl Windows {
    pub(crate) fn new(x: &[usize], pairs: Pairs, ceil: bool) -> Result<Self> {
        let &[batch, c, h, w] = x else {
            bail!("pooling: expected (batch, C, H, W), found {x:?}")
        };
        if u32::try_from(h * w).is_err() {
            bail!("pooling: a plane of {h}×{w} is too large")
        }
        let [kernel, stride, padding, dilation] = pairs;
        Ok(Self {
            batch,
            c,
            rows: Axis::new(h, (kernel.0, stride.0, padding.0, dilation.0), ceil)?,
            cols: Axis::new(w, (kernel.1, stride.1, padding.1, dilation.1), ceil)?,
        })
    }

    pub(crate) fn in_plane(&self) -> usize {
        self.rows.len * self.cols.len
    }

    pub(crate) fn out_plane(&self) -> usize {
        self.rows.out * self.cols.out
    }

    pub(crate) fn out_shape(&self) -> [usize; 4] {
        [self.batch, self.c, self.rows.out, self.cols.out]
    }

    /// Calls `f(windows of row `oy`, index of the input under the first of them)` for each kernel element that some of these
    /// windows have inside the input, in row-major order. The inputs are the horizontal stride apart.
    pub(crate) fn taps(&self, oy: usize, mut f: impl FnMut(Range<usize>, usize)) {
        for ky in 0..self.rows.kernel {
            let Some(y) = self.rows.input(oy, ky) else {
                continue;
            };
            for kx in 0..self.cols.kernel {
                let (windows, x) = self.cols.inside(kx);
                if !windows.is_empty() {
                    f(windows, y * self.cols.len + x);
                }
            }
        }
    }
}
