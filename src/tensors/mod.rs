//! Named tensors: fingerprints, and what is missing, unexpected or of another shape.

pub(crate) mod hash;
pub(crate) mod mismatch;
