//! hydranet: one pretrained image backbone, a separate head for each category, trained jointly and combined into one final class.
#![deny(missing_docs)]

mod error;
pub mod head;
pub mod input;
mod taxonomy;
#[cfg(feature = "train")]
pub mod train;

pub use error::{Error, Result, write_atomically};
pub use head::{ClassWeightRule, ClassWeights, HeadSpec, LossKind};
#[cfg(feature = "image")]
pub use input::Photo;
pub use input::{InputSpec, Interpolation};
pub use taxonomy::{MAX_CLASSES, Taxonomy};
