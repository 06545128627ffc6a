//! Differentiable operators with right gradients and fast CPU kernels.
//!
//! Each is a candle custom operator with its own backward pass, so candle's graph and [`backward`](candle_core::Tensor::backward)
//! work on as usual. The work is cut into pieces by sizes alone and joined in order: results have the same bytes for any number
//! of threads. On other devices than the CPU they are compositions of those of candle's operators whose gradients are right.

mod avg_pool;
mod conv;
mod conv_norm;
mod depthwise;
#[doc(hidden)]
pub mod fallback;
mod geometry;
mod interpolate;
mod linear;
mod matmul;
mod max_pool;
#[cfg(feature = "cli")]
mod memory;
mod norm;
mod pool;
mod pos_embed;
mod shared;
mod simd;
mod window;

pub use avg_pool::{AvgPool2dParams, avg_pool2d};
pub use conv_norm::{BatchMoments, Norm, Statistics, conv2d, conv2d_norm_act};
pub use geometry::Conv2dParams;
pub use interpolate::{ResizeFilter, interpolate};
pub use linear::linear;
pub use max_pool::{MaxPool2dParams, max_pool2d};
#[cfg(feature = "cli")]
pub use memory::keep_freed_memory;
pub use norm::Activation;
pub use pool::{global_avg_pool, scale};
pub use pos_embed::resample_pos_embed;
#[cfg(feature = "train")]
pub(crate) use shared::with_values;
