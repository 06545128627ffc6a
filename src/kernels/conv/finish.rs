//! What follows a convolution's sums, where it is known beforehand.

use crate::activation::Activation;
use crate::columns::Transform;
use crate::micro::SLACK;
use crate::real::Real;

/// A transformation of each channel, ready.
pub struct Fixed<T> {
    pub transform: Transform<T>,
    /// The same behind a product.
    pub(super) shifts: Shifts<T>,
}

impl<T: Real> Fixed<T> {
    pub fn new(transform: Transform<T>, channels: usize) -> Self {
        let shifts = Shifts::new(&transform, channels);
        Self { transform, shifts }
    }
}

/// One scale and shift a column with a panel's slack behind them, and an interval to clamp to, which a product does in registers;
/// and the curve that is followed then, while the results are in the cache.
pub(crate) struct Shifts<T> {
    pub scale: Vec<T>,
    pub shift: Vec<T>,
    pub bounds: (T, T),
    pub curve: Option<Activation>,
}

impl<T: Real> Shifts<T> {
    /// Of a transformation over `channels`.
    fn new(transform: &Transform<T>, channels: usize) -> Self {
        let padded = |values: &[T]| {
            let mut padded = values[..channels].to_vec();
            padded.resize(channels + SLACK, T::ZERO);
            padded
        };
        Self {
            scale: padded(&transform.scale),
            shift: padded(&transform.shift),
            bounds: transform.bounds,
            curve: transform.curve,
        }
    }
}
