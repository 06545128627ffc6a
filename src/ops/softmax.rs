//! Softmax and its logarithm along the last axis. Backward needs the result alone.

use super::fallback;
use super::rows::{max, sum, sum_two};
use super::shared::{build, tensor, typed, typed_storage, values, with_values};
use super::simd::{Real, kernel};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use std::mem::MaybeUninit;

/// e^xᵢ / Σⱼ e^xⱼ along the last axis. The greatest value is taken off first, so nothing overflows.
///
/// # Shapes
/// `x` `(…, n)`; the result has the same shape.
///
/// # Errors
/// If `x` has no axis or the last one is empty, or the type is not a floating-point one (on the CPU: neither `f32` nor `f64`).
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::softmax(x);
    }
    x.contiguous()?.apply_op1(Softmax { logarithm: false })
}

/// xᵢ − ln Σⱼ e^xⱼ along the last axis, computed as [`softmax`] is.
///
/// # Shapes
/// `x` `(…, n)`; the result has the same shape.
///
/// # Errors
/// As [`softmax`].
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::log_softmax(x);
    }
    x.contiguous()?.apply_op1(Softmax { logarithm: true })
}

struct Softmax {
    logarithm: bool,
}

/// Values a task computes, if a row is not longer.
const PIECE: usize = 1 << 13;

/// Rows of `n` values a task computes; by sizes alone, so that results do not depend on the number of threads.
pub(crate) fn rows_of_task(n: usize) -> usize {
    (PIECE / n).max(1)
}

kernel! {
    /// Softmax, or its logarithm, of rows of `n` values; writes every value of `out`, which is as long as `x`.
    fn forward<T>(x: &[T], n: usize, logarithm: bool, out: &mut [MaybeUninit<T>]) {
        assert_eq!(x.len(), out.len());
        for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
            let greatest = max(x, |v| v);
            if logarithm {
                let log = sum(x, |v| (v - greatest).exp::<FMA>()).ln();
                for (o, v) in out.iter_mut().zip(x) {
                    o.write((*v - greatest) - log);
                }
            } else {
                for (o, v) in out.iter_mut().zip(x) {
                    o.write((*v - greatest).exp::<FMA>());
                }
                // SAFETY: the loop above has written the whole row.
                let out = unsafe { out.assume_init_mut() };
                let share = T::ONE / sum(out, |v| v);
                out.iter_mut().for_each(|v| *v *= share);
            }
        }
    }
}

kernel! {
    /// The gradient from the result: y · (dy − Σ y·dy), or dy − e^y · Σ dy of the logarithm. Writes every value of `out`, which
    /// is as long as `y` and `dy`.
    fn backward<T>(y: &[T], dy: &[T], n: usize, logarithm: bool, out: &mut [MaybeUninit<T>]) {
        assert!(y.len() == out.len() && dy.len() == out.len());
        for ((y, dy), out) in y.chunks_exact(n).zip(dy.chunks_exact(n)).zip(out.chunks_exact_mut(n)) {
            if logarithm {
                let total = sum(dy, |d| d);
                for ((o, y), d) in out.iter_mut().zip(y).zip(dy) {
                    o.write((-total).madd::<FMA>(y.exp::<FMA>(), *d));
                }
            } else {
                let total = sum_two(y, dy, |y, d| y * d);
                for ((o, y), d) in out.iter_mut().zip(y).zip(dy) {
                    o.write(*y * (*d - total));
                }
            }
        }
    }
}

impl Softmax {
    fn fwd<T: Real>(&self, x: &[T], n: usize) -> Vec<T> {
        let piece = rows_of_task(n) * n;
        // SAFETY: a piece is whole rows, and `forward` writes the whole of every row.
        unsafe {
            build(x.len(), piece, |i, out| {
                forward(&x[i * piece..][..out.len()], n, self.logarithm, out);
            })
        }
    }

    fn back<T: Real>(&self, y: &[T], dy: &[T], n: usize) -> Vec<T> {
        let piece = rows_of_task(n) * n;
        // SAFETY: a piece is whole rows, and `backward` writes the whole of every row.
        unsafe {
            build(y.len(), piece, |i, out| {
                let range = i * piece..i * piece + out.len();
                backward(&y[range.clone()], &dy[range], n, self.logarithm, out);
            })
        }
    }
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "hydranet-softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some(&n) = layout.dims().last().filter(|n| **n > 0) else {
            bail!(
                "softmax: expected at least one value along the last axis, found shape {:?}",
                layout.dims()
            )
        };
        let storage = typed_storage!("softmax", x, T => self.fwd::<T>(values(x, layout)?, n));
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let n = y.dim(candle_core::D::Minus1)?;
        typed!("softmax", y, T => with_values(y, |y_values: &[T]| {
            with_values(dy, |dy| tensor(self.back(y_values, dy, n), y.dims()).map(Some))
        }))
    }
}
