//! Model files: written, read, changed, joined, exported.
#![cfg(feature = "cli")]

#[path = "../common/drawn.rs"]
mod drawn;
#[path = "../common/tiny.rs"]
mod tiny;

mod checkpoint;
mod dtype;
mod ensemble;
mod folders;
mod merge;
mod onnx;
mod onnx_cases;
mod onnx_file;
mod surgery;
mod trust_weights;
