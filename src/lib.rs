//! hydranet: one pretrained image backbone, a separate head for each category, trained jointly and combined into one final class.
#![deny(missing_docs)]

pub mod backbone;
pub mod checkpoint;
pub mod combine;
mod error;
pub mod head;
pub mod input;
pub mod layers;
pub mod model;
pub mod ops;
pub mod predict;
pub mod surgery;
mod taxonomy;
#[cfg(feature = "train")]
pub mod train;

pub use backbone::{Architecture, Backbone};
pub use checkpoint::{Description, ModelFile};
pub use combine::Decision;
pub use error::{Error, Result, write_atomically};
pub use head::{ClassWeightRule, ClassWeights, Head, HeadSpec, LossKind};
#[cfg(feature = "image")]
pub use input::Photo;
pub use input::{InputSpec, Interpolation};
pub use layers::{BatchNormMode, Mode};
pub use model::{ModelSpec, MultiTaskModel};
pub use predict::{HeadPrediction, Prediction, Predictor};
pub use taxonomy::{MAX_CLASSES, Taxonomy};
