//! Reductions along a row, for use inside a kernel, whose instruction set they take over by being inlined.

use crate::real::Real;
use crate::simd::LANES;

/// Two vectors of accumulators: enough to hide most of an addition's latency, and few enough for short rows.
const WIDTH: usize = 2 * LANES;

/// The accumulators' sum, as a tree.
#[inline(always)]
fn tree<T: Real>(mut acc: [T; WIDTH], f: impl Fn(T, T) -> T) -> T {
    let mut width = WIDTH / 2;
    while width > 0 {
        for l in 0..width {
            acc[l] = f(acc[l], acc[l + width]);
        }
        width /= 2;
    }
    acc[0]
}

/// Σ f(x).
#[inline(always)]
pub(crate) fn sum<T: Real>(x: &[T], f: impl Fn(T) -> T) -> T {
    let mut acc = [T::ZERO; WIDTH];
    let mut chunks = x.chunks_exact(WIDTH);
    for x in &mut chunks {
        for l in 0..WIDTH {
            acc[l] += f(x[l]);
        }
    }
    for (acc, x) in acc.iter_mut().zip(chunks.remainder()) {
        *acc += f(*x);
    }
    tree(acc, |a, b| a + b)
}

/// Σ f(x, y).
#[inline(always)]
pub(crate) fn sum_two<T: Real>(x: &[T], y: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut acc = [T::ZERO; WIDTH];
    let (mut xs, mut ys) = (x.chunks_exact(WIDTH), y.chunks_exact(WIDTH));
    for (x, y) in (&mut xs).zip(&mut ys) {
        for l in 0..WIDTH {
            acc[l] += f(x[l], y[l]);
        }
    }
    for ((acc, x), y) in acc.iter_mut().zip(xs.remainder()).zip(ys.remainder()) {
        *acc += f(*x, *y);
    }
    tree(acc, |a, b| a + b)
}

/// The greatest f(x); a NaN may be passed over.
#[inline(always)]
pub(crate) fn max<T: Real>(x: &[T], f: impl Fn(T) -> T) -> T {
    let greater = |a: T, b: T| if b > a { b } else { a };
    let mut acc = [T::from_f64(f64::NEG_INFINITY); WIDTH];
    let mut chunks = x.chunks_exact(WIDTH);
    for x in &mut chunks {
        for l in 0..WIDTH {
            acc[l] = greater(acc[l], f(x[l]));
        }
    }
    for (acc, x) in acc.iter_mut().zip(chunks.remainder()) {
        *acc = greater(*acc, f(*x));
    }
    tree(acc, greater)
}

/// Mean, and mean of the squared deviations from it, in two passes; what rounding left of the first mean is taken off in the
/// second (Chan, Golub, LeVeque 1983).
#[inline(always)]
pub(crate) fn mean_and_variance<T: Real, const FMA: bool>(x: &[T]) -> (T, T) {
    let share = T::ONE / T::from_f64(x.len() as f64);
    let mean = sum(x, |v| v) * share;
    let rest = sum(x, |v| v - mean) * share;
    let squares = sum(x, |v| (v - mean) * (v - mean)) * share;
    (mean + rest, squares - rest * rest)
}

/// Σ over the parts of `len` values, in order.
pub(crate) fn add_in_order<T: Real>(parts: &[T], len: usize) -> Vec<T> {
    let mut total = vec![T::ZERO; len];
    for part in parts.chunks_exact(len) {
        total.iter_mut().zip(part).for_each(|(t, p)| *t += *p);
    }
    total
}
