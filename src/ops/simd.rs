//! Element types, and loops compiled once for each instruction set and chosen at run time.

use super::math::Elementary;
use candle_core::WithDType;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};
use std::sync::OnceLock;

/// `f32` for use, `f64` for gradients checked against central differences.
pub(crate) trait Real:
    WithDType
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + Elementary
    + 'static
{
    const ZERO: Self;
    const ONE: Self;
    /// `self * b + c`, fused where the instruction set has it. Unfused elsewhere: without the instruction `mul_add` is a
    /// call into the mathematics library.
    fn madd<const FMA: bool>(self, b: Self, c: Self) -> Self;
}

macro_rules! real {
    ($t:ty) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
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
real!(f32);
real!(f64);

/// The instruction sets the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

/// The best instruction set of this processor.
pub(crate) fn isa() -> Isa {
    static ISA: OnceLock<Isa> = OnceLock::new();
    *ISA.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            let fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if fma && wide {
                return Isa::Avx512;
            }
            if fma {
                return Isa::Avx2;
            }
        }
        Isa::Portable
    })
}

/// Defines a function whose body is compiled for every [`Isa`] and runs as the best one. Inside the body `FMA` says whether
/// fused multiply-add is to be had.
macro_rules! kernel {
    ($(#[$meta:meta])* fn $name:ident<T>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        pub(crate) fn $name<T: Real>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, clippy::extra_unused_type_parameters)]
            fn body<T: Real, const FMA: bool>($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn wide<T: Real>($($arg: $ty),*) $(-> $ret)? {
                    body::<T, true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn fused<T: Real>($($arg: $ty),*) $(-> $ret)? {
                    body::<T, true>($($arg),*)
                }
                match $crate::ops::simd::isa() {
                    // SAFETY: `isa` found AVX-512 F, BW, DQ, VL, AVX2 and FMA on this processor.
                    $crate::ops::simd::Isa::Avx512 => return unsafe { wide::<T>($($arg),*) },
                    // SAFETY: `isa` found AVX2 and FMA on this processor.
                    $crate::ops::simd::Isa::Avx2 => return unsafe { fused::<T>($($arg),*) },
                    $crate::ops::simd::Isa::Portable => {}
                }
            }
            body::<T, false>($($arg),*)
        }
    };
}
pub(crate) use kernel;

/// Lanes of the accumulator arrays: one 512-bit vector of `f32`.
pub(crate) const LANES: usize = 16;

kernel! {
    /// Σ aᵢ·bᵢ over four independent vector accumulators.
    fn dot<T>(a: &[T], b: &[T]) -> T {
        let n = a.len().min(b.len());
        let (a, b) = (&a[..n], &b[..n]);
        let mut acc = [[T::ZERO; LANES]; 4];
        let mut i = 0;
        while i + 4 * LANES <= n {
            for (v, acc) in acc.iter_mut().enumerate() {
                let at = i + v * LANES;
                let (a, b) = (&a[at..at + LANES], &b[at..at + LANES]);
                for l in 0..LANES {
                    acc[l] = a[l].madd::<FMA>(b[l], acc[l]);
                }
            }
            i += 4 * LANES;
        }
        let mut sum = T::ZERO;
        while i < n {
            sum = a[i].madd::<FMA>(b[i], sum);
            i += 1;
        }
        let [first, second, third, fourth] = &acc;
        for (((a, b), c), d) in first.iter().zip(second).zip(third).zip(fourth) {
            sum += (*a + *b) + (*c + *d);
        }
        sum
    }
}
