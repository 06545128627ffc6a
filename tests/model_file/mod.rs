//! Model files: written, read, changed, joined, exported.

mod checkpoint;
mod dtype;
mod ensemble;
mod explain;
mod folders;
mod hostile;
mod int8;
mod merge;
mod old_files;
mod onnx;
mod onnx_cases;
mod onnx_file;
mod own;
mod surgery;
mod trust_weights;
