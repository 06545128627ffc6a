//! Differentiable operators with right gradients and fast CPU kernels.
//!
//! Each is a candle custom operator with its own backward pass, so candle's graph and [`backward`](candle_core::Tensor::backward)
//! work on as usual. The work is cut into pieces by sizes alone and joined in order: results have the same bytes for any number
//! of threads.

mod attention;
mod conv;
mod conv_norm;
mod depthwise;
#[doc(hidden)]
pub mod fallback;
mod geometry;
mod heads;
mod layer_norm;
mod linear;
mod math;
mod matmul;
#[cfg(feature = "cli")]
mod memory;
mod norm;
mod norm_columns;
mod norm_rows;
mod pointwise;
mod pool;
mod rows;
mod shared;
mod simd;
mod softmax;

pub use attention::{attention, attention_qkv};
pub use conv_norm::{BatchMoments, Norm, Statistics, conv2d, conv2d_norm_act};
pub use geometry::Conv2dParams;
pub use layer_norm::{layer_norm, layer_norm_2d};
pub use linear::{linear, linear_act};
#[cfg(feature = "cli")]
pub use memory::keep_freed_memory;
pub use norm::Activation;
pub use pointwise::{Pointwise, pointwise};
pub use pool::{global_avg_pool, scale};
#[cfg(feature = "train")]
pub(crate) use shared::with_values;
pub use softmax::{log_softmax, softmax};
