//! Poolings: their sizes, which outputs see an input, and the loops over the channels of a position.

use crate::error::{Result, bail};
use crate::real::Real;
use crate::simd::kernel;
use std::ops::Range;

/// One axis of a pooling: `len` inputs under windows of `kernel` elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    pub len: usize,
    pub out: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Axis {
    /// out = (len + 2·padding − kernel) / stride + 1, rounded down; with `ceil` rounded up, but a last window
    /// that would start in the padding behind the input is left out, as in PyTorch.
    fn new(
        len: usize,
        (kernel, stride, padding): (usize, usize, usize),
        ceil: bool,
    ) -> Result<Self> {
        if len == 0 || kernel == 0 || stride == 0 {
            bail!(
                "pooling: size, kernel and stride must be at least 1, found {len}, {kernel}, {stride}"
            )
        }
        if padding > kernel / 2 {
            bail!(
                "pooling: padding must be at most half the kernel, found {padding} with kernel {kernel}"
            )
        }
        let padded = len + 2 * padding;
        let mut out = if padded >= kernel {
            (padded - kernel + if ceil { stride - 1 } else { 0 }) / stride + 1
        } else {
            usize::from(ceil && kernel - padded < stride)
        };
        if ceil && out > 0 && (out - 1) * stride >= len + padding {
            out -= 1;
        }
        if out == 0 {
            bail!("pooling: kernel spans {kernel} values, the padded input has only {padded}")
        }
        Ok(Self {
            len,
            out,
            kernel,
            stride,
            padding,
        })
    }

    /// The input under element `tap` of window `at`, if it is not padding.
    pub fn input(&self, at: usize, tap: usize) -> Option<usize> {
        (at * self.stride + tap)
            .checked_sub(self.padding)
            .filter(|i| *i < self.len)
    }

    /// The windows whose element `tap` lies inside the input, and the input under the first of them.
    pub fn inside(&self, tap: usize) -> (Range<usize>, usize) {
        let first = self.padding.saturating_sub(tap).div_ceil(self.stride);
        let end = (self.len + self.padding)
            .saturating_sub(tap)
            .div_ceil(self.stride)
            .min(self.out);
        if first < end {
            (first..end, first * self.stride + tap - self.padding)
        } else {
            (0..0, 0)
        }
    }

    /// The window whose element `tap` is over input `at`, if there is one.
    pub fn window_over(&self, at: usize, tap: usize) -> Option<usize> {
        let from = (at + self.padding).checked_sub(tap)?;
        (from % self.stride == 0 && from / self.stride < self.out).then_some(from / self.stride)
    }

    /// The values window `at` covers: those inside the input, and those inside the input and its padding.
    pub fn covered(&self, at: usize) -> (usize, usize) {
        let start = at * self.stride;
        let end = (start + self.kernel).min(self.len + 2 * self.padding);
        let inside = end
            .min(self.len + self.padding)
            .saturating_sub(start.max(self.padding));
        (inside, end.saturating_sub(start))
    }
}

/// All sizes of one pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    pub batch: usize,
    pub c: usize,
    pub rows: Axis,
    pub cols: Axis,
}

impl Windows {
    /// Of a map (batch, H, W, channels); kernel, stride and padding are (vertical, horizontal).
    pub fn new(
        [batch, h, w, c]: [usize; 4],
        kernel: (usize, usize),
        stride: (usize, usize),
        padding: (usize, usize),
        ceil: bool,
    ) -> Result<Self> {
        if u32::try_from(h * w).is_err() {
            bail!("pooling: a plane of {h}×{w} is too large")
        }
        Ok(Self {
            batch,
            c,
            rows: Axis::new(h, (kernel.0, stride.0, padding.0), ceil)?,
            cols: Axis::new(w, (kernel.1, stride.1, padding.1), ceil)?,
        })
    }

    /// (batch, H, W, channels) of the result.
    pub fn out_dims(&self) -> [usize; 4] {
        [self.batch, self.rows.out, self.cols.out, self.c]
    }

    /// Calls `f(place in the window, input position)` for each input position in window (`oy`, `ox`), row by row.
    pub fn each(&self, oy: usize, ox: usize, mut f: impl FnMut(u8, usize)) {
        for ky in 0..self.rows.kernel {
            let Some(iy) = self.rows.input(oy, ky) else {
                continue;
            };
            for kx in 0..self.cols.kernel {
                if let Some(ix) = self.cols.input(ox, kx) {
                    f((ky * self.cols.kernel + kx) as u8, iy * self.cols.len + ix);
                }
            }
        }
    }
}

/// The settings of an average pooling; each pair is (vertical, horizontal).
///
/// # Shapes
/// input `(batch, C, H, W)`, output `(batch, C, H', W')` with H' = (H + 2·padding − kernel) / stride + 1, rounded down, or up
/// with `ceil_mode`; then a last window that would start behind the input is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2dParams {
    /// Height and width of a window.
    pub kernel: (usize, usize),
    /// Step between windows.
    pub stride: (usize, usize),
    /// Rows and columns of zeros on each side; at most half the kernel.
    pub padding: (usize, usize),
    /// Whether a last window may reach beyond the padding.
    pub ceil_mode: bool,
    /// Whether the padding counts in the divisor. What lies beyond it never does.
    pub count_include_pad: bool,
}

impl AvgPool2dParams {
    /// Square windows of `kernel`, `stride` apart; padding would count, as is PyTorch's default.
    pub fn new(kernel: usize, stride: usize) -> Self {
        Self {
            kernel: (kernel, kernel),
            stride: (stride, stride),
            padding: (0, 0),
            ceil_mode: false,
            count_include_pad: true,
        }
    }

    /// With `padding` on each side.
    pub fn padding(mut self, padding: usize) -> Self {
        self.padding = (padding, padding);
        self
    }

    /// The sizes over a map (batch, H, W, channels).
    #[doc(hidden)]
    pub fn windows(&self, dims: [usize; 4]) -> Result<Windows> {
        Windows::new(dims, self.kernel, self.stride, self.padding, self.ceil_mode)
    }

    /// 1 / divisor of each window of a plane.
    #[doc(hidden)]
    pub fn factors(&self, g: &Windows) -> Vec<f64> {
        let count = |(inside, padded): (usize, usize)| {
            if self.count_include_pad {
                padded
            } else {
                inside
            }
        };
        (0..g.rows.out * g.cols.out)
            .map(|i| {
                let rows = count(g.rows.covered(i / g.cols.out));
                let cols = count(g.cols.covered(i % g.cols.out));
                1.0 / (rows * cols) as f64
            })
            .collect()
    }
}

kernel! {
    /// Where `row` is greater than `best`, or not a number, it becomes the best.
    fn compare<T>(row: &[T], place: u8, best: &mut [T], taken: &mut [u8]) {
        for ((v, best), taken) in row.iter().zip(best).zip(taken) {
            #[allow(clippy::eq_op)]
            let better = *v > *best || *v != *v;
            *best = if better { *v } else { *best };
            *taken = if better { place } else { *taken };
        }
    }
}
