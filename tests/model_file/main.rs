//! Model files: written, read, changed, joined, exported.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

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
