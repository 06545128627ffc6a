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
pub(crate) mod matmul;
mod max_pool;
#[cfg(feature = "cli")]
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
mod tape;
#[cfg(feature = "train")]
pub(crate) mod update;
mod window;

pub use attention::{attention, attention_qkv};
pub use avg_pool::{AvgPool2dParams, avg_pool2d};
pub use buffer::release_buffers;
pub use conv::{conv2d, conv2d_norm_act};
pub use geometry::Conv2dParams;
#[cfg(feature = "train")]
pub(crate) use geometry::parts;
pub use interpolate::{ResizeFilter, interpolate};
pub use layer_norm::{layer_norm, layer_norm_2d};
pub use linear::{linear, linear_act};
pub(crate) use mapped::map_file;
pub use max_pool::{MaxPool2dParams, max_pool2d};
#[cfg(feature = "cli")]
pub use memory::keep_freed_memory;
pub use norm::{Activation, BatchMoments, Norm, Statistics};
pub use pointwise::{Pointwise, pointwise};
pub use pool::{global_avg_pool, scale};
pub use pos_embed::resample_pos_embed;
pub(crate) use shared::in_pool;
#[cfg(feature = "train")]
pub(crate) use shared::with_values;
pub use simd::instruction_set;
pub use softmax::{log_softmax, softmax};
pub use tape::{ConvStep, ConvWeight, Kept, Map, Tape, Weight, WindowAttention};
pub(crate) use tape::{Layout, Record, Step};
