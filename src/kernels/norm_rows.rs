//! Layer normalisation (Ba, Kiros, Hinton 2016) of rows.
//!
//! With x̂ = (x − mean) / √(variance + eps) and g = gamma · dy: dx = (g − mean of g − x̂ · mean of g·x̂) / √(variance + eps).
//! Backward keeps the mean and 1/√(variance + eps) of each row and recomputes the rest.

use crate::real::Real;
use crate::rows::{mean_and_variance, sum, sum_two};
use crate::simd::kernel;

/// Mean and 1/√(variance + eps) of each row.
pub struct RowMoments<'a, T> {
    pub means: &'a [T],
    pub inverses: &'a [T],
}

kernel! {
    /// Normalises rows of `gamma.len()` values; writes every value of `out`, `means` and `inverses`.
    fn forward_rows<T>(
        x: &[T], gamma: &[T], beta: &[T], eps: T, out: &mut [T], means: &mut [T], inverses: &mut [T],
    ) {
        let n = gamma.len();
        assert_eq!(x.len(), out.len());
        for (i, (x, out)) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)).enumerate() {
            let (mean, variance) = mean_and_variance::<T, FMA>(x);
            let inverse = T::ONE / (variance + eps).sqrt();
            for (((o, v), g), b) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
                *o = ((*v - mean) * inverse).madd::<FMA>(*g, *b);
            }
            (means[i], inverses[i]) = (mean, inverse);
        }
    }
}

kernel! {
    /// The gradient of rows of `gamma.len()` values; writes every value of `out`, and adds the gradients of gamma and beta to
    /// `d_gamma` and `d_beta`.
    fn backward_rows<T>(
        x: &[T], dy: &[T], gamma: &[T], moments: &RowMoments<T>, out: &mut [T], d_gamma: &mut [T], d_beta: &mut [T],
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
                *o = *d * *g;
            }
            let offset = sum(out, |g| g) * share;
            let slope = sum_two(out, x, |g, x| g * (x - mean)) * share * inverse * inverse;
            for (o, x) in out.iter_mut().zip(x) {
                *o = inverse * (*o - slope.madd::<FMA>(*x - mean, offset));
            }
        }
    }
}
