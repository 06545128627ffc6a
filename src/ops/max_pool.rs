//! Max pooling.

use super::fallback;
use super::shared::{tensor, typed, typed_storage, values, with_values};
use super::simd::{LANES, Real, kernel};
use super::window::{Pairs, Windows};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};

/// The settings of [`max_pool2d`]; each pair is (vertical, horizontal).
///
/// # Shapes
/// input `(batch, C, H, W)`, output `(batch, C, H', W')` with
/// H' = (H + 2·padding − dilation·(kernel − 1) − 1) / stride + 1, rounded down, or up with `ceil_mode`; then a last window that
/// would start behind the input is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2dParams {
    /// Height and width of a window.
    pub kernel: (usize, usize),
    /// Step between windows.
    pub stride: (usize, usize),
    /// Rows and columns of −∞ on each side; at most half the kernel.
    pub padding: (usize, usize),
    /// Step between the values of a window.
    pub dilation: (usize, usize),
    /// Whether a last window may reach beyond the padding.
    pub ceil_mode: bool,
}

impl MaxPool2dParams {
    /// Square windows of `kernel`, `stride` apart.
    pub fn new(kernel: usize, stride: usize) -> Self {
        Self {
            kernel: (kernel, kernel),
            stride: (stride, stride),
            padding: (0, 0),
            dilation: (1, 1),
            ceil_mode: false,
        }
    }

    /// With `padding` on each side.
    pub fn padding(mut self, padding: usize) -> Self {
        self.padding = (padding, padding);
        self
    }

    pub(crate) fn windows(&self, x: &[usize]) -> Result<Windows> {
        let pairs: Pairs = [self.kernel, self.stride, self.padding, self.dilation];
        Windows::new(x, pairs, self.ceil_mode)
    }
}

/// The greatest value of each window, as PyTorch's `max_pool2d`: the gradient goes to the first of equal values in row-major
/// order, and a NaN wins over every number. A window that covers padding alone (possible with dilation) is −∞ and has no gradient.
///
/// Backward keeps the place of each maximum, four bytes a value.
///
/// # Shapes
/// See [`MaxPool2dParams`].
///
/// # Errors
/// If the settings do not fit the shape, or on the CPU if the type is neither `f32` nor `f64`.
pub fn max_pool2d(x: &Tensor, params: MaxPool2dParams) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::max_pool2d(x, params);
    }
    let x = x.contiguous()?;
    let op = MaxPool {
        windows: params.windows(x.dims())?,
        tracked: x.track_op(),
        places: Mutex::new(Vec::new()),
    };
    x.apply_op1(op)
}

struct MaxPool {
    windows: Windows,
    /// Whether backward may come.
    tracked: bool,
    /// The place in its plane of each maximum.
    places: Mutex<Vec<u32>>,
}

/// The place of the maximum of no values.
const NOWHERE: u32 = u32::MAX;

/// Takes `v`, found at `at`, if it is greater or a NaN: the first of equal values stays, and the last NaN, as in PyTorch.
#[inline(always)]
#[allow(clippy::eq_op)] // Only a NaN differs from itself; in this form the loop is vectorised.
fn take<T: Real>(v: T, at: u32, best: &mut T, place: &mut u32) {
    let better = (v > *best) | (v != v);
    *best = if better { v } else { *best };
    *place = if better { at } else { *place };
}

kernel! {
    /// best[i] = max(best[i], source[i · step]), with the place `first + i · step` of what is taken.
    fn take_row<T>(source: &[T], step: usize, first: u32, best: &mut [T], place: &mut [u32]) {
        match step {
            1 => take_blocks::<T, 1>(source, first, best, place),
            2 => take_blocks::<T, 2>(source, first, best, place),
            _ => {
                for (i, (best, place)) in best.iter_mut().zip(place).enumerate() {
                    take(source[i * step], first + (i * step) as u32, best, place);
                }
            }
        }
    }
}

/// [`take_row`] in blocks of a length that the compiler knows, as long as whole steps are left in the source, and then singly.
#[inline(always)]
fn take_blocks<T: Real, const STEP: usize>(
    source: &[T],
    first: u32,
    best: &mut [T],
    place: &mut [u32],
) {
    let blocks = (source.len() / (STEP * LANES)).min(best.len() / LANES);
    let (best, last_best) = best.split_at_mut(blocks * LANES);
    let (place, last_place) = place.split_at_mut(blocks * LANES);
    let (source, last_source) = source.split_at(blocks * LANES * STEP);
    let mut at = first;
    for ((source, best), place) in source
        .chunks_exact(LANES * STEP)
        .zip(best.chunks_exact_mut(LANES))
        .zip(place.chunks_exact_mut(LANES))
    {
        // Whole vectors are loaded, compared and stored one after another, or the compiler would gather across blocks.
        let mut v = [T::ZERO; LANES];
        for l in 0..LANES {
            v[l] = source[l * STEP];
        }
        let mut found = [at; LANES];
        for (l, found) in found.iter_mut().enumerate() {
            *found += (l * STEP) as u32;
        }
        let (mut new_best, mut new_place) = ([T::ZERO; LANES], [0; LANES]);
        new_best.copy_from_slice(best);
        new_place.copy_from_slice(place);
        for l in 0..LANES {
            take(v[l], found[l], &mut new_best[l], &mut new_place[l]);
        }
        best.copy_from_slice(&new_best);
        place.copy_from_slice(&new_place);
        at += (LANES * STEP) as u32;
    }
    for (i, (best, place)) in last_best.iter_mut().zip(last_place).enumerate() {
        take(last_source[i * STEP], at + (i * STEP) as u32, best, place);
    }
}

impl MaxPool {
    /// For each window of a row of windows the column of its first value inside the input.
    fn first_columns(&self) -> Vec<Option<u32>> {
        let cols = &self.windows.cols;
        (0..cols.out)
            .map(|o| (0..cols.kernel).find_map(|k| cols.input(o, k)))
            .map(|x| x.map(|x| x as u32))
            .collect()
    }

    fn fwd<T: Real>(&self, x: &[T]) -> Vec<T> {
        let g = &self.windows;
        let (plane, ow) = (g.out_plane(), g.cols.out);
        let first_columns = self.first_columns();
        let run = |x: &[T], y: &mut [T], places: &mut [u32]| {
            let rows = y.chunks_exact_mut(ow).zip(places.chunks_exact_mut(ow));
            for (oy, (best, place)) in rows.enumerate() {
                // Where no value is greater than −∞, the first value counts as the maximum.
                let row = (0..g.rows.kernel).find_map(|k| g.rows.input(oy, k));
                for (place, x) in place.iter_mut().zip(&first_columns) {
                    *place = match (row, x) {
                        (Some(y), Some(x)) => (y * g.cols.len) as u32 + x,
                        _ => NOWHERE,
                    };
                }
                g.taps(oy, |windows, at| {
                    take_row(
                        &x[at..],
                        g.cols.stride,
                        at as u32,
                        &mut best[windows.clone()],
                        &mut place[windows],
                    );
                });
            }
        };
        let mut y = vec![T::from_f64(f64::NEG_INFINITY); g.batch * g.c * plane];
        let planes = y.par_chunks_mut(plane).zip(x.par_chunks(g.in_plane()));
        if self.tracked {
            let mut places = vec![0; g.batch * g.c * plane];
            planes
                .zip(places.par_chunks_mut(plane))
                .for_each(|((y, x), places)| run(x, y, places));
            *self.places.lock().unwrap_or_else(PoisonError::into_inner) = places;
        } else {
            planes.for_each_init(|| vec![0; plane], |places, (y, x)| run(x, y, places));
        }
        y
    }

    fn back<T: Real>(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let g = &self.windows;
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() != dy.elem_count() {
            bail!("max pooling: backward without forward")
        }
        with_values(dy, |dy: &[T]| {
            let mut dx = vec![T::ZERO; x.elem_count()];
            dx.par_chunks_mut(g.in_plane())
                .zip(dy.par_chunks(g.out_plane()))
                .zip(places.par_chunks(g.out_plane()))
                .for_each(|((dx, dy), places)| {
                    for (d, place) in dy.iter().zip(places) {
                        if let Some(dx) = dx.get_mut(*place as usize) {
                            *dx += *d;
                        }
                    }
                });
            tensor(dx, x.dims())
        })
    }
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "hydranet-max-pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let storage = typed_storage!("max pooling", x, T => self.fwd::<T>(values(x, layout)?));
        Ok((storage, Shape::from_dims(&self.windows.out_shape())))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        typed!("max pooling", x, T => self.back::<T>(x, dy).map(Some))
    }
}
