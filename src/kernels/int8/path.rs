//! What computes: the same bytes in three ways.

use crate::simd::{Isa, isa};

/// A way to compute in eight bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Plain loops.
    Portable,
    /// `vpmaddubsw` and `vpmaddwd`.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// `vpdpbusd` of AVX-512 VNNI.
    #[cfg(target_arch = "x86_64")]
    Vnni,
}

impl Path {
    /// The best one of this processor within the limit of `HYDRANET_ISA`.
    pub fn best() -> Self {
        match isa() {
            Isa::Portable => Self::Portable,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Self::Avx2,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if is_x86_feature_detected!("avx512vnni") => Self::Vnni,
            // AVX-512 without VNNI has nothing for bytes but what AVX2 has, in wider registers.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Self::Avx2,
        }
    }

    /// All that this processor has within the limit, the best one last.
    pub fn all() -> Vec<Self> {
        let best = Self::best();
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        all.extend([Self::Avx2, Self::Vnni]);
        let count = all.iter().position(|p| *p == best).map_or(1, |i| i + 1);
        all.truncate(count);
        all
    }

    /// `vnni`, `avx2` or `portable`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => "vnni",
        }
    }
}
