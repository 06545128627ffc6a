//! Named tensors: read, written, fingerprinted, and held against what a model asks for.

mod file;
mod finite;
pub(crate) mod hash;
mod mismatch;
mod named;
mod quantise;
mod source;

pub(crate) use file::{KEY, read_floats, serialize};
pub use file::{read_tensors, to_bytes};
pub(crate) use finite::check_values;
pub(crate) use mismatch::TensorMismatch;
pub use named::{Shapes, Tensors};
pub(crate) use quantise::{Quantised, SCALE, Stored, unfit};
pub(crate) use source::Source;
