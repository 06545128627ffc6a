//! One file = one model: a safetensors file whose metadata says everything about it.
//!
//! The only metadata key is `hydranet`; its value is JSON ([`Description`]) with sorted keys, so equal models are equal bytes.
//! Tensors are `backbone.<timm's name>` and `heads.<head>.fc.weight`, `.fc.bias`, `.hidden.weight`, `.hidden.bias`; their shapes
//! follow from the head's labels and loss, see [`Head::new`](crate::Head::new). Those of a joint head are `joint.…` in the same
//! way.

pub(crate) mod activations;
mod description;
mod dtype;
mod file;
pub mod folder;
pub mod heads;
mod open;
pub mod pretrained;
mod seen;

pub use crate::tensors::{Tensors, read_tensors, to_bytes};
pub use description::Description;
pub use dtype::WeightDType;
pub use file::ModelFile;
pub(crate) use file::Parts;
pub(crate) use seen::{Seen, SeenSet, SeenSides};

#[cfg(all(test, feature = "cli"))]
#[path = "../../tests/model_file/mod.rs"]
mod tests;
