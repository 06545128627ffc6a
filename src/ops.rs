//! The operators: differentiable, with right gradients and fast CPU kernels. They are compiled in a package of their own,
//! `hydranet-ops`, so that a change elsewhere does not compile them again.

use crate::error::{Error, Result};
pub(crate) use hydranet_ops::internal::{Layout, Record, Step, in_pool, map_file};
#[cfg(feature = "audit")]
pub(crate) use hydranet_ops::internal::{Matrix, matmul};
#[cfg(feature = "train")]
pub(crate) use hydranet_ops::internal::{Mmap, parts, update, with_values};
pub use hydranet_ops::*;

/// The instruction set the kernels use: `avx512`, `avx2` or `portable`, the best of this processor, or less if the environment
/// variable `HYDRANET_ISA` says so. Results have the same bytes on processors that use the same one.
///
/// # Errors
/// [`Error::Invalid`] if `HYDRANET_ISA` is none of these; the kernels then use the processor's best.
pub fn instruction_set() -> Result<&'static str> {
    hydranet_ops::instruction_set().map_err(|found| Error::Invalid {
        what: "the environment variable HYDRANET_ISA".into(),
        expected: "`avx512`, `avx2` or `portable`".into(),
        found: format!("`{found}`"),
    })
}
