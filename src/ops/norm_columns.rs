//! The kernels of layer normalisation over the channels of each position: the values to normalise lie one plane apart. A task
//! takes a stretch of positions of one image, so short that all its channels stay in the cache, and the inner loops run along it.

use super::layer_norm::{Backward, Moments};
use super::rows::{sum, sum_two};
use super::shared::{SharedMut, add_in_order, fill};
use super::simd::{Real, kernel};
use rayon::prelude::*;

/// Values of one stretch, all its channels together, unless it would be shorter than `SHORTEST`.
const CACHED: usize = 1 << 13;
const SHORTEST: usize = 32;
const LONGEST: usize = 256;

/// One stretch: its image's first value, its first position, its positions, and positions of a plane.
#[derive(Clone, Copy)]
pub(crate) struct Stretch {
    image: usize,
    start: usize,
    len: usize,
    plane: usize,
}

impl Stretch {
    /// All stretches, by sizes alone.
    fn all(
        values: usize,
        plane: usize,
        channels: usize,
    ) -> impl IndexedParallelIterator<Item = Self> {
        let longest = (CACHED / channels / SHORTEST * SHORTEST).clamp(SHORTEST, LONGEST);
        // Cut evenly: no short last one.
        let count = plane.div_ceil(longest);
        let images = if plane == 0 {
            0
        } else {
            values / (plane * channels)
        };
        (0..images * count).into_par_iter().map(move |i| {
            let (image, part) = (i / count, i % count);
            let start = part * plane / count;
            Self {
                image: image * plane * channels,
                start,
                len: (part + 1) * plane / count - start,
                plane,
            }
        })
    }

    /// Where a channel's values begin.
    #[inline(always)]
    fn at(&self, channel: usize) -> usize {
        self.image + channel * self.plane + self.start
    }

    /// Where its moments begin, there being one for each position of each image.
    fn moments(&self, channels: usize) -> usize {
        self.image / channels + self.start
    }
}

/// The result, and all positions' means followed by all positions' 1/√(variance + eps).
pub(crate) fn forward<T: Real>(
    x: &[T],
    plane: usize,
    gamma: &[T],
    beta: &[T],
    eps: T,
) -> (Vec<T>, Vec<T>) {
    let positions = x.len() / gamma.len();
    let mut moments = vec![T::ZERO; 2 * positions];
    let kept = SharedMut::new(&mut moments);
    // SAFETY: the stretches cover every value once, each writes all its channels, and each has its own positions' moments.
    let [y] = unsafe {
        fill([x.len()], |[out]| {
            Stretch::all(x.len(), plane, gamma.len()).for_each(|s| {
                let at = s.moments(gamma.len());
                let (means, inverses) = (kept.range(at, s.len), kept.range(positions + at, s.len));
                forward_stretch(x, s, gamma, beta, eps, out, means, inverses);
            });
        })
    };
    (y, moments)
}

/// The gradients of x, gamma and beta.
pub(crate) fn backward<T: Real>(
    x: &[T],
    dy: &[T],
    plane: usize,
    gamma: &[T],
    moments: &Moments<T>,
) -> Backward<T> {
    let channels = gamma.len();
    let stretches = Stretch::all(x.len(), plane, channels);
    let mut partial = vec![T::ZERO; stretches.len() * 2 * channels];
    let sums = SharedMut::new(&mut partial);
    // SAFETY: the stretches cover every value once, each writes all its channels, and each has its own partial sums.
    let [dx] = unsafe {
        fill([x.len()], |[out]| {
            stretches.enumerate().for_each(|(i, s)| {
                let at = s.moments(channels);
                let moments = Moments {
                    means: &moments.means[at..at + s.len],
                    inverses: &moments.inverses[at..at + s.len],
                };
                let sums = sums.range(i * 2 * channels, 2 * channels);
                let (d_gamma, d_beta) = sums.split_at_mut(channels);
                backward_stretch(x, dy, s, gamma, &moments, out, d_gamma, d_beta);
            });
        })
    };
    let mut d_gamma = add_in_order(&partial, 2 * channels);
    let d_beta = d_gamma.split_off(channels);
    (dx, d_gamma, d_beta)
}

kernel! {
    /// Normalises one stretch; writes its values of `out` and every value of `means` and `inverses`. The moments are those of
    /// [`mean_and_variance`](super::rows::mean_and_variance), for all positions at once.
    fn forward_stretch<T>(
        x: &[T], s: Stretch, gamma: &[T], beta: &[T], eps: T, out: SharedMut<T>, means: &mut [T], inverses: &mut [T],
    ) {
        let channels = gamma.len();
        let share = T::ONE / T::from_f64(channels as f64);
        let mut buffers = [[T::ZERO; LONGEST]; 2];
        let [rest, squares] = &mut buffers;
        let (rest, squares) = (&mut rest[..s.len], &mut squares[..s.len]);
        means.fill(T::ZERO);
        for c in 0..channels {
            for (m, v) in means.iter_mut().zip(&x[s.at(c)..][..s.len]) {
                *m += *v;
            }
        }
        for m in means.iter_mut() {
            *m *= share;
        }
        for c in 0..channels {
            let sums = rest.iter_mut().zip(squares.iter_mut());
            for ((v, m), (rest, squares)) in x[s.at(c)..][..s.len].iter().zip(means.iter()).zip(sums) {
                let d = *v - *m;
                *rest += d;
                *squares = d.madd::<FMA>(d, *squares);
            }
        }
        let sums = rest.iter().zip(squares.iter());
        for ((m, i), (rest, squares)) in means.iter_mut().zip(inverses.iter_mut()).zip(sums) {
            let rest = *rest * share;
            *m += rest;
            *i = T::ONE / (*squares * share - rest * rest + eps).sqrt();
        }
        for c in 0..channels {
            let (g, b) = (gamma[c], beta[c]);
            // SAFETY: this stretch's values are written by this call alone.
            let out = unsafe { out.uninit(s.at(c), s.len) };
            for (((o, v), m), i) in out.iter_mut().zip(&x[s.at(c)..][..s.len]).zip(means.iter()).zip(inverses.iter()) {
                o.write(((*v - *m) * *i).madd::<FMA>(g, b));
            }
        }
    }
}

kernel! {
    /// The gradient of one stretch; writes its values of `out` and every value of `d_gamma` and `d_beta`.
    fn backward_stretch<T>(
        x: &[T], dy: &[T], s: Stretch, gamma: &[T], moments: &Moments<T>, out: SharedMut<T>, d_gamma: &mut [T], d_beta: &mut [T],
    ) {
        let channels = gamma.len();
        let share = T::ONE / T::from_f64(channels as f64);
        let (means, inverses) = (&moments.means[..s.len], &moments.inverses[..s.len]);
        let mut buffers = [[T::ZERO; LONGEST]; 3];
        let [offsets, slopes, products] = &mut buffers;
        let (offsets, slopes, products) = (&mut offsets[..s.len], &mut slopes[..s.len], &mut products[..s.len]);
        for c in 0..channels {
            let g = gamma[c];
            let (x, dy) = (&x[s.at(c)..][..s.len], &dy[s.at(c)..][..s.len]);
            for ((p, x), (m, i)) in products.iter_mut().zip(x).zip(means.iter().zip(inverses)) {
                *p = (*x - *m) * *i;
            }
            d_gamma[c] = sum_two(products, dy, |p, d| p * d);
            d_beta[c] = sum(dy, |d| d);
            let sums = offsets.iter_mut().zip(slopes.iter_mut());
            for ((p, d), (offset, slope)) in products.iter().zip(dy).zip(sums) {
                let d = g * *d;
                *offset += d;
                *slope = d.madd::<FMA>(*p, *slope);
            }
        }
        for ((offset, slope), i) in offsets.iter_mut().zip(slopes.iter_mut()).zip(inverses) {
            *offset *= share;
            *slope = *slope * share * *i;
        }
        for c in 0..channels {
            let g = gamma[c];
            let (x, dy) = (&x[s.at(c)..][..s.len], &dy[s.at(c)..][..s.len]);
            // SAFETY: this stretch's values are written by this call alone.
            let out = unsafe { out.uninit(s.at(c), s.len) };
            let sums = offsets.iter().zip(slopes.iter());
            let moments = means.iter().zip(inverses);
            for ((((o, x), d), (m, i)), (offset, slope)) in out.iter_mut().zip(x).zip(dy).zip(moments).zip(sums) {
                o.write(*i * (g * *d - slope.madd::<FMA>(*x - *m, *offset)));
            }
        }
    }
}
