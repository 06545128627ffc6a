//! What computes: matrix products, convolutions, norms, attention, poolings, activations and an optimiser's updates over slices.
//!
//! Each loop is compiled for every instruction set and runs as the best one of the processor. The work is cut into pieces by
//! sizes alone and joined in order: results have the same bytes for any number of threads. Of hydranet's packages this alone has
//! `unsafe` code. It knows neither tensors nor layers, and is no public interface: it serves hydranet's other packages and
//! changes with them.

pub mod activation;
pub mod attention_heads;
pub mod buffer;
pub mod columns;
pub mod conv;
mod error;
pub mod geometry;
pub mod int8;
pub mod linear;
mod mapped;
pub mod math;
pub mod matmul;
#[cfg(feature = "command")]
mod memory;
mod micro;
pub mod moments;
pub mod norm_rows;
mod outer;
pub mod pool;
pub mod real;
pub mod rounded;
mod rows;
mod shared;
mod simd;
#[cfg(feature = "command")]
mod stdout;
pub mod tasks;
pub mod transpose;
pub mod update;
pub mod window_attention;
pub mod window_layout;

pub use error::{Error, Result};
pub use mapped::map_file;
pub use memmap2::Mmap;
#[cfg(feature = "command")]
pub use memory::keep_freed_memory;
pub use simd::instruction_set;
#[cfg(feature = "command")]
pub use stdout::stdout_was_closed;
