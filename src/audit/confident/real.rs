//! The two widths of probabilities, and sums in a fixed order.

use std::ops::{Add, Div, Mul, Sub};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32` or `f64`. Differences of probabilities are taken in the width they come in, as NumPy does: a difference rounded
/// otherwise could be another order.
pub trait Real:
    sealed::Sealed
    + Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
{
    /// The nearest number of this width.
    fn nearest(value: f64) -> Self;
    /// The same number as f64.
    fn wide(self) -> f64;
    /// The natural logarithm.
    fn log(self) -> Self;
}

impl Real for f32 {
    #[inline]
    fn nearest(value: f64) -> Self {
        value as f32
    }
    #[inline]
    fn wide(self) -> f64 {
        f64::from(self)
    }
    #[inline]
    fn log(self) -> Self {
        self.ln()
    }
}

impl Real for f64 {
    #[inline]
    fn nearest(value: f64) -> Self {
        value
    }
    #[inline]
    fn wide(self) -> f64 {
        self
    }
    #[inline]
    fn log(self) -> Self {
        self.ln()
    }
}

/// The sum by halves, in NumPy's order: a run of up to 128 values has eight running sums, a longer one is halved at a multiple of
/// eight. The error grows with the logarithm of the length (Higham 1993, "The Accuracy of Floating Point Summation").
pub(super) fn sum<T: Real>(values: &[T]) -> T {
    let n = values.len();
    if n < 8 {
        return values.iter().fold(T::default(), |s, v| s + *v);
    }
    if n > 128 {
        let half = n / 2 - n / 2 % 8;
        return sum(&values[..half]) + sum(&values[half..]);
    }
    let whole = values.chunks_exact(8);
    let rest = whole.remainder();
    let mut s = [T::default(); 8];
    for chunk in whole {
        for (s, v) in s.iter_mut().zip(chunk) {
            *s = *s + *v;
        }
    }
    let eight = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    rest.iter().fold(eight, |s, v| s + *v)
}
