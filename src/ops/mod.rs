//! Differentiable operators with right gradients and fast CPU kernels.
//!
//! Each is a candle custom operator with its own backward pass, so candle's graph and [`backward`](candle_core::Tensor::backward)
//! work on as usual. The work is cut into pieces by sizes alone and joined in order: results have the same bytes for any number
//! of threads.

mod buffer;
mod conv;
mod geometry;
mod linear;
mod matmul;
#[cfg(feature = "cli")]
mod memory;
mod micro;
mod norm;
mod pool;
mod shared;
mod simd;
mod tape;

pub use buffer::release_buffers;
pub use conv::{conv2d, conv2d_norm_act};
pub use geometry::Conv2dParams;
pub use linear::linear;
#[cfg(feature = "cli")]
pub use memory::keep_freed_memory;
pub use norm::{Activation, BatchMoments, Norm, Statistics};
pub use pool::{global_avg_pool, scale};
#[cfg(feature = "train")]
pub(crate) use shared::with_values;
pub use tape::{Map, Tape};
