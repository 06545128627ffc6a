//! Average pooling over windows.

use super::fallback;
use super::shared::{tensor, typed, typed_storage, values, with_values};
use super::simd::{Real, kernel};
use super::window::Windows;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// The settings of [`avg_pool2d`]; each pair is (vertical, horizontal).
///
/// # Shapes
/// As [`MaxPool2dParams`](super::MaxPool2dParams) with dilation 1.
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

    pub(crate) fn windows(&self, x: &[usize]) -> Result<Windows> {
        let pairs = [self.kernel, self.stride, self.padding, (1, 1)];
        Windows::new(x, pairs, self.ceil_mode)
    }

    /// 1 / divisor of each window of a plane.
    pub(crate) fn factors(&self, g: &Windows) -> Vec<f64> {
        let count = |(inside, padded): (usize, usize)| {
            if self.count_include_pad {
                padded
            } else {
                inside
            }
        };
        (0..g.out_plane())
            .map(|i| {
                let rows = count(g.rows.covered(i / g.cols.out));
                let cols = count(g.cols.covered(i % g.cols.out));
                1.0 / (rows * cols) as f64
            })
            .collect()
    }
}

/// The mean of each window, as PyTorch's `avg_pool2d`.
///
/// # Shapes
/// See [`AvgPool2dParams`].
///
/// # Errors
/// If the settings do not fit the shape, or on the CPU if the type is neither `f32` nor `f64`.
pub fn avg_pool2d(x: &Tensor, params: AvgPool2dParams) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::avg_pool2d(x, params);
    }
    let x = x.contiguous()?;
    let windows = params.windows(x.dims())?;
    x.apply_op1(AvgPool {
        factors: params.factors(&windows),
        windows,
    })
}

struct AvgPool {
    windows: Windows,
    factors: Vec<f64>,
}

kernel! {
    /// sum[i] += source[i · step].
    fn add_row<T>(source: &[T], step: usize, sum: &mut [T]) {
        let n = sum.len();
        if step == 1 {
            for (sum, v) in sum.iter_mut().zip(source) {
                *sum += *v;
            }
        } else if step == 2 {
            // All but the last lie in whole pairs.
            for (sum, pair) in sum.iter_mut().zip(source[..2 * (n - 1)].chunks_exact(2)) {
                *sum += pair[0];
            }
            sum[n - 1] += source[2 * (n - 1)];
        } else {
            for (i, sum) in sum.iter_mut().enumerate() {
                *sum += source[i * step];
            }
        }
    }
}

kernel! {
    /// target[i · step] += source[i].
    fn spread_row<T>(source: &[T], step: usize, target: &mut [T]) {
        if step == 1 {
            for (t, v) in target.iter_mut().zip(source) {
                *t += *v;
            }
        } else {
            for (i, v) in source.iter().enumerate() {
                target[i * step] += *v;
            }
        }
    }
}

impl AvgPool {
    fn typed_factors<T: Real>(&self) -> Vec<T> {
        self.factors.iter().map(|f| T::from_f64(*f)).collect()
    }

    fn fwd<T: Real>(&self, x: &[T]) -> Vec<T> {
        let g = &self.windows;
        let factors = self.typed_factors::<T>();
        let mut y = vec![T::ZERO; g.batch * g.c * g.out_plane()];
        y.par_chunks_mut(g.out_plane())
            .zip(x.par_chunks(g.in_plane()))
            .for_each(|(y, x)| {
                for (oy, sum) in y.chunks_exact_mut(g.cols.out).enumerate() {
                    g.taps(oy, |windows, at| {
                        add_row(&x[at..], g.cols.stride, &mut sum[windows]);
                    });
                }
                y.iter_mut().zip(&factors).for_each(|(y, f)| *y *= *f);
            });
        y
    }

    fn back<T: Real>(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let g = &self.windows;
        let factors = self.typed_factors::<T>();
        with_values(dy, |dy: &[T]| {
            let mut dx = vec![T::ZERO; x.elem_count()];
            dx.par_chunks_mut(g.in_plane())
                .zip(dy.par_chunks(g.out_plane()))
                .for_each_init(
                    || vec![T::ZERO; g.out_plane()],
                    |share, (dx, dy)| {
                        for ((s, d), f) in share.iter_mut().zip(dy).zip(&factors) {
                            *s = *d * *f;
                        }
                        for (oy, share) in share.chunks_exact(g.cols.out).enumerate() {
                            g.taps(oy, |windows, at| {
                                spread_row(&share[windows], g.cols.stride, &mut dx[at..]);
                            });
                        }
                    },
                );
            tensor(dx, x.dims())
        })
    }
}

impl CustomOp1 for AvgPool {
    fn name(&self) -> &'static str {
        "hydranet-avg-pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let storage = typed_storage!("average pooling", x, T => self.fwd::<T>(values(x, layout)?));
        Ok((storage, Shape::from_dims(&self.windows.out_shape())))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        typed!("average pooling", x, T => self.back::<T>(x, dy).map(Some))
    }
}
