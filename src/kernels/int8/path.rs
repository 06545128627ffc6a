//! What computes: the same bytes in four ways.

#[cfg(target_arch = "x86_64")]
use crate::simd::is_limited;
use crate::simd::{Isa, isa};

/// A way to compute in eight bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Plain loops.
    Portable,
    /// `vpmaddubsw` and `vpmaddwd`.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// `vpdpbusd` of AVX-VNNI, which processors without AVX-512 have: Intel's since 2021.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
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
            Isa::Avx512 if is_x86_feature_detected!("avx512vnni") => Self::Vnni,
            // AVX-512 without VNNI has nothing for bytes but what AVX2 has, in wider registers.
            #[cfg(target_arch = "x86_64")]
            _ if is_x86_feature_detected!("avxvnni") && !is_limited() => Self::AvxVnni,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::Avx512 => Self::Avx2,
        }
    }

    /// All that this processor has within the limit, the best one last.
    pub fn all() -> Vec<Self> {
        let best = Self::best();
        let mut all = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let is_there =
                |path: &Self| *path != Self::AvxVnni || is_x86_feature_detected!("avxvnni");
            let wider = [Self::Avx2, Self::AvxVnni, Self::Vnni];
            all.extend(wider.into_iter().filter(is_there));
        }
        let count = all.iter().position(|p| *p == best).map_or(1, |i| i + 1);
        all.truncate(count);
        all
    }

    /// `vnni`, `avx-vnni`, `avx2` or `portable`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => "vnni",
        }
    }
}
