//! Batch normalisation and activation over rows: one row is one channel of one image (or of one tile).

use super::simd::{LANES, Real, kernel};

/// The activation after a normalisation or a bias, as the interval the value is clamped to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// None.
    #[default]
    Identity,
    /// max(v, 0); gradient 0 at 0, as in PyTorch.
    Relu,
    /// min(max(v, 0), 6); gradient 0 at 0 and at 6, as in PyTorch.
    Relu6,
}

impl Activation {
    pub(crate) fn bounds<T: Real>(self) -> (T, T) {
        let (low, high) = match self {
            Self::Identity => (f64::NEG_INFINITY, f64::INFINITY),
            Self::Relu => (0.0, f64::INFINITY),
            Self::Relu6 => (0.0, 6.0),
        };
        (T::from_f64(low), T::from_f64(high))
    }
}

/// Clamps; a NaN stays a NaN, so that a broken value is seen and not hidden by an activation.
#[inline(always)]
fn clamp<T: Real>(v: T, low: T, high: T) -> T {
    let v = if v < low { low } else { v };
    if v > high { high } else { v }
}

/// Mean and sum of squared deviations of some values, and their count: what can be joined exactly.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    pub count: f64,
    pub mean: f64,
    pub m2: f64,
}

impl Moments {
    /// Joins two sets (Chan, Golub, LeVeque 1979).
    pub(crate) fn join(self, other: Self) -> Self {
        if other.count == 0.0 {
            return self;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + delta * other.count / count,
            m2: self.m2 + other.m2 + delta * delta * self.count * other.count / count,
        }
    }
}

kernel! {
    /// Σ row.
    fn sum<T>(row: &[T]) -> f64 {
        let mut acc = [[T::ZERO; LANES]; 2];
        let mut chunks = row.chunks_exact(2 * LANES);
        for chunk in &mut chunks {
            let (first, second) = chunk.split_at(LANES);
            for l in 0..LANES {
                acc[0][l] += first[l];
                acc[1][l] += second[l];
            }
        }
        let mut total = 0.0;
        for v in chunks.remainder() {
            total += v.to_f64();
        }
        for (a, b) in acc[0].iter().zip(&acc[1]) {
            total += a.to_f64() + b.to_f64();
        }
        total
    }
}

kernel! {
    /// Σ (row − mean)².
    fn squares<T>(row: &[T], mean: T) -> f64 {
        let mut acc = [[T::ZERO; LANES]; 2];
        let mut chunks = row.chunks_exact(2 * LANES);
        for chunk in &mut chunks {
            let (first, second) = chunk.split_at(LANES);
            for l in 0..LANES {
                let d = first[l] - mean;
                acc[0][l] = d.madd::<FMA>(d, acc[0][l]);
                let d = second[l] - mean;
                acc[1][l] = d.madd::<FMA>(d, acc[1][l]);
            }
        }
        let mut total = 0.0;
        for v in chunks.remainder() {
            let d = (*v - mean).to_f64();
            total += d * d;
        }
        for (a, b) in acc[0].iter().zip(&acc[1]) {
            total += a.to_f64() + b.to_f64();
        }
        total
    }
}

/// The moments of a row, in two passes over values that are in the cache: no cancellation.
pub(crate) fn moments<T: Real>(row: &[T]) -> Moments {
    let count = row.len() as f64;
    if row.is_empty() {
        return Moments::default();
    }
    // The mean is rounded to T before the second pass, so that `m2` is about the very mean that is reported.
    let mean = T::from_f64(sum(row) / count);
    Moments {
        count,
        mean: mean.to_f64(),
        m2: squares(row, mean),
    }
}

kernel! {
    /// row = clamp(row · scale + shift).
    fn affine_in_place<T>(row: &mut [T], scale: T, shift: T, bounds: (T, T)) {
        for v in row.iter_mut() {
            *v = clamp(v.madd::<FMA>(scale, shift), bounds.0, bounds.1);
        }
    }
}

kernel! {
    /// out = clamp(row · scale + shift).
    fn affine<T>(row: &[T], scale: T, shift: T, bounds: (T, T), out: &mut [T]) {
        for (o, v) in out.iter_mut().zip(row) {
            *o = clamp(v.madd::<FMA>(scale, shift), bounds.0, bounds.1);
        }
    }
}

/// The gradient that passes the clamp: the incoming one strictly inside the interval, 0 outside and on its ends.
#[inline(always)]
fn masked<T: Real, const FMA: bool>(y: T, dz: T, scale: T, shift: T, bounds: (T, T)) -> T {
    let v = y.madd::<FMA>(scale, shift);
    let d = if v > bounds.0 { dz } else { T::ZERO };
    if v < bounds.1 { d } else { T::ZERO }
}

kernel! {
    /// (Σ d, Σ d·(y − mean)) with d the gradient behind the activation.
    fn backward_sums<T>(y: &[T], dz: &[T], mean: T, scale: T, shift: T, bounds: (T, T)) -> (f64, f64) {
        let mut first = [T::ZERO; LANES];
        let mut second = [T::ZERO; LANES];
        let (mut ys, mut dzs) = (y.chunks_exact(LANES), dz.chunks_exact(LANES));
        for (y, dz) in (&mut ys).zip(&mut dzs) {
            for l in 0..LANES {
                let d = masked::<T, FMA>(y[l], dz[l], scale, shift, bounds);
                first[l] += d;
                second[l] = d.madd::<FMA>(y[l] - mean, second[l]);
            }
        }
        let (mut s1, mut s2) = (0.0, 0.0);
        for (y, dz) in ys.remainder().iter().zip(dzs.remainder()) {
            let d = masked::<T, FMA>(*y, *dz, scale, shift, bounds).to_f64();
            s1 += d;
            s2 += d * (*y - mean).to_f64();
        }
        for l in 0..LANES {
            s1 += first[l].to_f64();
            s2 += second[l].to_f64();
        }
        (s1, s2)
    }
}

/// One channel's numbers for the backward pass through normalisation and activation:
/// dy = scale · d − offset − slope · (y − mean), d the gradient behind the activation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelBackward<T> {
    pub mean: T,
    pub scale: T,
    pub shift: T,
    pub offset: T,
    pub slope: T,
}

kernel! {
    /// The gradient before the normalisation, see [`ChannelBackward`].
    fn backward_row<T>(y: &[T], dz: &[T], ch: &ChannelBackward<T>, bounds: (T, T), out: &mut [T]) {
        let ChannelBackward { mean, scale, shift, offset, slope } = *ch;
        for ((o, y), dz) in out.iter_mut().zip(y).zip(dz) {
            let d = masked::<T, FMA>(*y, *dz, scale, shift, bounds);
            let centred = *y - mean;
            *o = scale * d - slope.madd::<FMA>(centred, offset);
        }
    }
}
