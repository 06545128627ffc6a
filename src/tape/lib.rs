//! A network's whole forward pass as one differentiable operator of candle's graph.
//!
//! candle's graph costs a zero-filled tensor, an addition and a kept output for every operator. A [`Tape`] records a chain of
//! fused operators over channels-last buffers instead: a convolution keeps only its sums, the normalisation and activation behind
//! it are done whenever they are read, and the whole chain is one operator of candle's graph, from the images and the parameters
//! to the result. On other devices than the CPU each step is a composition of candle's operators; and a tape may write its steps
//! down as data, without computing.
//!
//! Beside it stand the few operators over candle's tensors that a head, a loss or a file of weights needs.
#![forbid(unsafe_code)]

mod composition;
mod engine;
mod epilogue;
mod graph;
mod int8;
mod linear;
mod nodes;
mod norm;
mod pos_embed;
mod record;
mod scale;
mod start;
mod step;
mod tape;
mod values;
mod watch;
mod weight;

pub use hydranet_kernels::activation::Activation;
pub use hydranet_kernels::buffer::release_buffers;
pub use hydranet_kernels::geometry::Conv2dParams;
pub use hydranet_kernels::pool::AvgPool2dParams;
pub use linear::linear;
pub use norm::{BatchMoments, Norm, Statistics};
pub use pos_embed::resample_pos_embed;
pub use scale::scale;
pub use tape::{ConvStep, Map, Tape, WindowAttention};
pub use weight::{ConvWeight, Kept, Weight};

/// What only hydranet itself uses.
#[doc(hidden)]
pub mod internal {
    pub use crate::epilogue::{Epilogue, FusedConv};
    pub use crate::int8::{Mapped, Observed, Path, Plan, Program, Scale, by_row};
    pub use crate::step::{NormStep, Record, Step};
    pub use crate::tape::Attended;
    pub use crate::values::with_values;
    pub use crate::watch::Watch;
    pub use hydranet_kernels::window_layout::WindowLayout;
}
