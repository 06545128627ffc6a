//! What a backbone is made of: a [`Tape`], its steps, and the operators beside it.
//!
//! They are compiled in packages of their own, `hydranet-tape` over `hydranet-kernels`, so that a change elsewhere does not
//! compile them again.

use crate::error::{Error, Result};
pub use hydranet_tape::*;

/// The instruction set the kernels use: `avx512`, `avx2` or `portable`, the best of this processor, or less if the environment
/// variable `HYDRANET_ISA` says so. Results have the same bytes on processors that use the same one.
///
/// # Errors
/// [`Error::Invalid`] if `HYDRANET_ISA` is none of these; the kernels then use the processor's best.
pub fn instruction_set() -> Result<&'static str> {
    hydranet_kernels::instruction_set().map_err(|found| Error::Invalid {
        what: "the environment variable HYDRANET_ISA".into(),
        expected: "`avx512`, `avx2` or `portable`".into(),
        found: format!("`{found}`"),
    })
}
