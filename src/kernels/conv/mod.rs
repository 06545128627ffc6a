//! Convolutions over channels-last maps, with what follows them.

mod backward;
mod chain;
mod dense;
mod depthwise;
mod finish;
mod forward;
mod input;
mod job;
mod packs;
mod plan;
pub(crate) mod product;
mod seen;
mod slab;
mod transforms;
mod window;
mod winograd;

pub use backward::backward;
pub use chain::{Chain, Link};
pub use finish::Fixed;
pub use forward::forward;
pub use input::Input;
pub use job::{Found, Job};
pub use packs::Packs;
pub use plan::flattened;
pub use winograd::fits as fits_winograd;
