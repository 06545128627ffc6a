//! Loops compiled once for each instruction set and chosen at run time.

use std::sync::OnceLock;

/// The instruction sets the kernels are compiled for, the more capable the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Isa {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The environment variable that limits the instruction set.
const LIMIT: &str = "HYDRANET_ISA";

/// The best instruction set of this processor.
fn best() -> Isa {
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
}

/// The greatest instruction set that is allowed, or what was asked for and is none. One of another processor family is no limit.
fn limit() -> std::result::Result<Option<Isa>, String> {
    let Some(value) = std::env::var_os(LIMIT) else {
        return Ok(None);
    };
    match value.to_str() {
        Some("portable") => Ok(Some(Isa::Portable)),
        #[cfg(target_arch = "x86_64")]
        Some("avx2") => Ok(Some(Isa::Avx2)),
        #[cfg(not(target_arch = "x86_64"))]
        Some("avx2") => Ok(None),
        Some("" | "avx512") => Ok(None),
        _ => Err(value.to_string_lossy().into_owned()),
    }
}

/// Whether there is a limit.
#[cfg(target_arch = "x86_64")]
pub(crate) fn is_limited() -> bool {
    matches!(limit(), Ok(Some(_)))
}

/// The instruction set in use: the best of this processor within the limit.
pub(crate) fn isa() -> Isa {
    static ISA: OnceLock<Isa> = OnceLock::new();
    *ISA.get_or_init(|| match limit() {
        Ok(Some(limit)) => best().min(limit),
        Ok(None) | Err(_) => best(),
    })
}

/// The instruction set the kernels use: `avx512`, `avx2` or `portable`, the best of this processor, or less if the environment
/// variable `HYDRANET_ISA` says so. Results have the same bytes on processors that use the same one.
///
/// # Errors
/// What `HYDRANET_ISA` says if it is none of these; the kernels then use the processor's best.
pub fn instruction_set() -> std::result::Result<&'static str, String> {
    limit()?;
    Ok(match isa() {
        Isa::Portable => "portable",
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => "avx2",
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => "avx512",
    })
}

/// Defines a function whose body is compiled for every [`Isa`] and runs as the best one, for a [`Real`](crate::real::Real)
/// that is `WIDE`; for others it is compiled once. Inside the body `FMA` says whether fused multiply-add is to be had, and `L`
/// how many `f32` an array for a register or two has: the vector of AVX-512 or AVX2, in plain code two of 128 bits. Results
/// may not depend on it.
macro_rules! kernel {
    ($(#[$meta:meta])* fn $name:ident<T>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        pub fn $name<T: Real>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, clippy::extra_unused_type_parameters)]
            fn body<T: Real, const FMA: bool, const L: usize>($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            if T::WIDE {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn wide<T: Real>($($arg: $ty),*) $(-> $ret)? {
                    body::<T, true, 16>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn fused<T: Real>($($arg: $ty),*) $(-> $ret)? {
                    body::<T, true, 8>($($arg),*)
                }
                match $crate::simd::isa() {
                    // SAFETY: `isa` found AVX-512 F, BW, DQ, VL, AVX2 and FMA on this processor.
                    $crate::simd::Isa::Avx512 => return unsafe { wide::<T>($($arg),*) },
                    // SAFETY: `isa` found AVX2 and FMA on this processor.
                    $crate::simd::Isa::Avx2 => return unsafe { fused::<T>($($arg),*) },
                    $crate::simd::Isa::Portable => {}
                }
            }
            body::<T, false, 8>($($arg),*)
        }
    };
}
pub(crate) use kernel;

/// Lanes of the accumulator arrays of sums along a row, whatever the instruction set: one 512-bit vector of `f32`.
pub(crate) const LANES: usize = 16;
