//! A trained model in the formats of other programs.

pub mod folder;
pub mod onnx;
