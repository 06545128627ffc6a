//! The kernels of layer normalisation along the last axis.

use super::layer_norm::{Backward, Moments};
use super::rows::{mean_and_variance, sum, sum_two};
use super::shared::{SharedMut, add_in_order, build};
use super::simd::{Real, kernel};
use super::softmax::rows_of_task;
use std::mem::MaybeUninit;

/// The result, and all rows' means followed by all rows' 1/√(variance + eps).
pub(crate) fn forward<T: Real>(x: &[T], gamma: &[T], beta: &[T], eps: T) -> (Vec<T>, Vec<T>) {
    let n = gamma.len();
    let (rows, rows_of_task) = (x.len() / n, rows_of_task(n));
    let mut moments = vec![T::ZERO; 2 * rows];
    let shared = SharedMut::new(&mut moments);
    // SAFETY: a piece is whole rows, and `forward_rows` writes the whole of every row. Each piece has its own rows' moments.
    let y = unsafe {
        build(x.len(), rows_of_task * n, |i, out| {
            let (row, count) = (i * rows_of_task, out.len() / n);
            let means = shared.range(row, count);
            let inverses = shared.range(rows + row, count);
            forward_rows(
                &x[row * n..][..out.len()],
                gamma,
                beta,
                eps,
                out,
                means,
                inverses,
            );
        })
    };
    (y, moments)
}

/// The gradients of x, gamma and beta.
pub(crate) fn backward<T: Real>(
    x: &[T],
    dy: &[T],
    gamma: &[T],
    moments: &Moments<T>,
) -> Backward<T> {
    let n = gamma.len();
    let rows_of_task = rows_of_task(n);
    let piece = rows_of_task * n;
    let mut partial = vec![T::ZERO; x.len().div_ceil(piece) * 2 * n];
    let shared = SharedMut::new(&mut partial);
    // SAFETY: a piece is whole rows, and `backward_rows` writes the whole of every row. Each piece has its own partial sums.
    let dx = unsafe {
        build(x.len(), piece, |i, out| {
            let (row, count) = (i * rows_of_task, out.len() / n);
            let range = row * n..row * n + out.len();
            let moments = Moments {
                means: &moments.means[row..row + count],
                inverses: &moments.inverses[row..row + count],
            };
            let (d_gamma, d_beta) = shared.range(i * 2 * n, 2 * n).split_at_mut(n);
            backward_rows(
                &x[range.clone()],
                &dy[range],
                gamma,
                &moments,
                out,
                d_gamma,
                d_beta,
            );
        })
    };
    let mut d_gamma = add_in_order(&partial, 2 * n);
    let d_beta = d_gamma.split_off(n);
    (dx, d_gamma, d_beta)
}

kernel! {
    /// Normalises rows of `gamma.len()` values; writes every value of `out`, `means` and `inverses`.
    fn forward_rows<T>(
        x: &[T], gamma: &[T], beta: &[T], eps: T, out: &mut [MaybeUninit<T>], means: &mut [T], inverses: &mut [T],
    ) {
        let n = gamma.len();
        assert_eq!(x.len(), out.len());
        for (i, (x, out)) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)).enumerate() {
            let (mean, variance) = mean_and_variance::<T, FMA>(x);
            let inverse = T::ONE / (variance + eps).sqrt();
            for (((o, v), g), b) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
                o.write(((*v - mean) * inverse).madd::<FMA>(*g, *b));
            }
            (means[i], inverses[i]) = (mean, inverse);
        }
    }
}

kernel! {
    /// The gradient of rows of `gamma.len()` values; writes every value of `out`, and adds the gradients of gamma and beta to
    /// `d_gamma` and `d_beta`.
    fn backward_rows<T>(
        x: &[T], dy: &[T], gamma: &[T], moments: &Moments<T>, out: &mut [MaybeUninit<T>], d_gamma: &mut [T], d_beta: &mut [T],
    ) {
        let n = gamma.len();
        assert!(x.len() == out.len() && dy.len() == out.len());
        let share = T::ONE / T::from_f64(n as f64);
        let rows = x.chunks_exact(n).zip(dy.chunks_exact(n)).zip(out.chunks_exact_mut(n));
        for (((x, dy), out), (&mean, &inverse)) in rows.zip(moments.means.iter().zip(moments.inverses)) {
            for (((x, d), d_gamma), d_beta) in x.iter().zip(dy).zip(d_gamma.iter_mut()).zip(d_beta.iter_mut()) {
                *d_gamma = ((*x - mean) * inverse).madd::<FMA>(*d, *d_gamma);
                *d_beta += *d;
            }
            for ((o, d), g) in out.iter_mut().zip(dy).zip(gamma) {
                o.write(*d * *g);
            }
            // SAFETY: the loop above has written the whole row, for both are as long as gamma.
            let out = unsafe { out.assume_init_mut() };
            let offset = sum(out, |g| g) * share;
            let slope = sum_two(out, x, |g, x| g * (x - mean)) * share * inverse * inverse;
            for (o, x) in out.iter_mut().zip(x) {
                *o = inverse * (*o - slope.madd::<FMA>(*x - mean, offset));
            }
        }
    }
}
