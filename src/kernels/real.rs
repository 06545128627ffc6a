//! Element types.

use crate::math::Elementary;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// `f32` for use, `f64` for gradients checked against central differences.
pub trait Real:
    Elementary
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Send
    + Sync
    + 'static
{
    /// Whether the kernels are compiled for every instruction set. `f64` serves tests of the algorithms, which are the same on
    /// all: it has the portable one alone.
    const WIDE: bool;
    const ZERO: Self;
    const ONE: Self;
    /// The nearest value.
    fn from_f64(v: f64) -> Self;
    /// The same value.
    fn to_f64(self) -> f64;
    /// `self * b + c`, fused where the instruction set has it. Unfused elsewhere: without the instruction `mul_add` is a
    /// call into the mathematics library.
    fn madd<const FMA: bool>(self, b: Self, c: Self) -> Self;
}

macro_rules! real {
    ($t:ty, $wide:literal) => {
        impl Real for $t {
            const WIDE: bool = $wide;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[inline(always)]
            fn from_f64(v: f64) -> Self {
                v as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }
            #[inline(always)]
            fn madd<const FMA: bool>(self, b: Self, c: Self) -> Self {
                if FMA {
                    self.mul_add(b, c)
                } else {
                    self * b + c
                }
            }
        }
    };
}
real!(f32, true);
real!(f64, false);
