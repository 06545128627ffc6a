//! Differentiable operators with right gradients and fast CPU kernels.
//!
//! Each is a candle custom operator with its own backward pass, so candle's graph and [`backward`](candle_core::Tensor::backward)
//! work on as usual. The work is cut into pieces by sizes alone and joined in order: results have the same bytes for any number
//! of threads. On other devices than the CPU they are compositions of those of candle's operators whose gradients are right.

mod attention;
mod avg_pool;
mod buffer;
mod conv;
#[doc(hidden)]
pub mod fallback;
mod geometry;
mod heads;
mod interpolate;
mod layer_norm;
mod linear;
mod mapped;
mod math;
mod matmul;
mod max_pool;
#[cfg(feature = "mimalloc")]
mod memory;
mod micro;
mod norm;
mod norm_columns;
mod norm_rows;
mod pointwise;
mod pool;
mod pos_embed;
mod rows;
mod shared;
mod simd;
mod softmax;
#[cfg(feature = "mimalloc")]
mod stdout;
mod tape;
mod update;
mod window;

pub use attention::{attention, attention_qkv};
pub use avg_pool::{AvgPool2dParams, avg_pool2d};
pub use buffer::release_buffers;
pub use conv::{conv2d, conv2d_norm_act};
pub use geometry::Conv2dParams;
pub use interpolate::{ResizeFilter, interpolate};
pub use layer_norm::{layer_norm, layer_norm_2d};
pub use linear::{linear, linear_act};
pub use max_pool::{MaxPool2dParams, max_pool2d};
#[cfg(feature = "mimalloc")]
pub use memory::keep_freed_memory;
pub use norm::{Activation, BatchMoments, Norm, Statistics};
pub use pointwise::{Pointwise, pointwise};
pub use pool::{global_avg_pool, scale};
pub use pos_embed::resample_pos_embed;
pub use simd::instruction_set;
pub use softmax::{log_softmax, softmax};
pub use tape::{ConvStep, ConvWeight, Kept, Map, Tape, Weight, WindowAttention};

/// What only hydranet itself uses.
#[doc(hidden)]
pub mod internal {
    pub use super::geometry::parts;
    pub use super::mapped::map_file;
    pub use super::matmul::{Matrix, matmul};
    pub use super::shared::{in_pool, with_values};
    #[cfg(feature = "mimalloc")]
    pub use super::stdout::stdout_was_closed;
    pub use super::tape::{Layout, Record, Step};
    pub mod update {
        pub use crate::update::*;
    }
    pub use memmap2::Mmap;
}
