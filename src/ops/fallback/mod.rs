//! The operators as compositions of candle's own, for devices that hydranet has no kernels for.
//!
//! Only operators of candle whose gradients are right are used. The functions work on every device; the CPU's tests compare them
//! with the kernels.

mod tokens;

pub use tokens::{
    attention, attention_qkv, layer_norm, layer_norm_2d, linear, log_softmax, pointwise, softmax,
};
