//! One pass over a variable for each step of an optimiser.

use crate::math::Elementary;
use crate::real::Real;
use crate::simd::kernel;

/// Numbers of one AdamW step.
#[derive(Clone, Copy, Debug)]
pub struct AdamW<T> {
    pub beta1: T,
    pub beta2: T,
    /// Learning rate, over the first moment's correction.
    pub rate: T,
    /// Factor of the second moment's root.
    pub correction: T,
    pub eps: T,
    /// What weight decay leaves of a value.
    pub keep: T,
    /// Factor of the gradient.
    pub factor: T,
}

kernel! {
    /// One AdamW step: values `p`, moments `m` and `v`, gradient `g`.
    fn adam_w<T>(p: &mut [T], m: &mut [T], v: &mut [T], g: &[T], step: AdamW<T>) {
        let AdamW { beta1, beta2, rate, correction, eps, keep, factor } = step;
        let (rest1, rest2) = (T::ONE - beta1, T::ONE - beta2);
        for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
            let g = *g * factor;
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * g * g;
            *p = keep * *p - rate * *m / (Elementary::sqrt(*v) * correction + eps);
        }
    }
}

kernel! {
    /// One step of SGD with momentum.
    fn sgd<T>(p: &mut [T], m: &mut [T], g: &[T], momentum: T, rate: T, keep: T, factor: T) {
        for ((p, m), g) in p.iter_mut().zip(m).zip(g) {
            *m = momentum * *m + *g * factor;
            *p = keep * *p - rate * *m;
        }
    }
}

kernel! {
    /// old += share · (new − old).
    fn towards<T>(old: &mut [T], new: &[T], share: T) {
        for (old, new) in old.iter_mut().zip(new) {
            *old = share * (*new - *old) + *old;
        }
    }
}
