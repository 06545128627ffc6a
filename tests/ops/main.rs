//! The operators: values and gradients.

#[path = "../common/mod.rs"]
mod common;

mod convolutions;
mod fallback;
mod golden_maps;
mod golden_ops;
mod golden_tokens;
#[cfg(feature = "train")]
mod gradients;
mod int8;
mod mixers;
mod ops;
mod ops_tokens;
mod pools;
mod shared_statistics;
