//! Inference in eight bits: weights `i8` with a scale for each output channel, maps `u8` with a scale and a zero point for each,
//! sums `i32`.
//!
//! A real value is scale · (q − zero) (Jacob et al. 2018). A sum over q · w is exact in every instruction set; what follows it is
//! a product and a sum in `f32`, each rounded for itself and never fused, clamped and rounded to the nearest even integer: the
//! bytes of a map are the same whatever computes them.
//!
//! Maps are channels last, with the channels of a position filled up to a multiple of [`BLOCK`]: no loop over channels has a
//! rest. What stands in the filling has no meaning; weights of it are 0.

mod conv;
mod depthwise;
mod finish;
mod maps;
mod patches;
mod path;
mod product;
mod quantise;
#[cfg(test)]
mod tests;

pub use conv::Conv;
pub use finish::{Finish, Following};
pub use maps::{MaxPool, images, means, planes};
pub use path::Path;
pub use quantise::{Scale, by_row};

/// Channels that are computed together: the `i32` of one vector of AVX-512.
pub const BLOCK: usize = 16;

/// Bytes of a position of so many channels.
pub fn stride(channels: usize) -> usize {
    channels.next_multiple_of(BLOCK)
}
