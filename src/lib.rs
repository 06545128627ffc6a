//! hydranet: one pretrained image backbone, a separate head for each category, trained jointly and combined into one final class.
//!
//! Three lines hold the design:
//!
//! - Images → features → one set of logits per head → one final class.
//! - A head is *data* ([`HeadSpec`], one small TOML file each). A model is *one file* ([`ModelFile`], safetensors that describes
//!   itself).
//! - What is trained is decided by *where the variables come from*, not by flags inside the layers.
//!
//! # Predicting
//!
#![cfg_attr(feature = "image", doc = "```no_run")]
#![cfg_attr(not(feature = "image"), doc = "```ignore")]
//! let predictor = hydranet::Predictor::from_file("best.safetensors")?;
//! let prediction = predictor.predict_file("photo.jpg")?;
//! println!("class {}: {} ({:.2})", prediction.class, prediction.name, prediction.prob);
//! for head in &prediction.heads {
//!     println!("{}: {:?} {:.2?}", head.head, head.label, head.probs);
//! }
//! # Ok::<(), hydranet::Error>(())
//! ```
//!
//! `predict_file` needs the feature `image`. Without it, [`Predictor::predict_rgb`] takes pixels and
//! [`Predictor::predict_tensor`] normalised tensors.
//!
//! # Reading order
//!
//! | read | to learn |
//! |---|---|
//! | [`Taxonomy`] | how labels make a final class |
//! | [`head`], [`model`] | what a head is, and a backbone that feeds several |
//! | [`combine`] | from logits to the final class |
//! | [`predict`], [`checkpoint`] | how a model file is used, and what is in it: another application stops here |
//! | [`export`] | a model as a file for other programs |
//! | [`weights`] | pretrained weights: where they come from, and other libraries' names for them |
//! | [`input`] | from photo to tensor, alike in training and prediction |
//! | [`backbone`], [`layers`], [`tape`] | the network, down to its kernels |
//! | `train` | losses, mixing, data, optimisers, the trainer |
//! | `audit` | wrong labels |
//! | `guide` | how all of it is used, chapter by chapter |
//!
//! # Features
//!
//! `image` reads photos from files, `hub` fetches weights, `train` (with `image`) fine-tunes, `audit` (with
//! `train`) finds wrong labels, `transformers` has networks of
//! candle-transformers as backbones, `cli` (with all, on by default) is the command. An application that only predicts takes `default-features = false`.
#![deny(missing_docs)]
#![forbid(unsafe_code)]

mod account;
#[cfg(feature = "audit")]
pub mod audit;
pub mod backbone;
pub mod checkpoint;
pub mod combine;
mod draws;
mod error;
mod escape;
pub mod export;
#[cfg(feature = "cli")]
pub mod guide;
mod hash;
pub mod head;
mod hint;
#[cfg(feature = "hub")]
pub mod hub;
pub mod input;
pub mod layers;
mod lock;
pub mod model;
mod nearest;
pub mod novelty;
mod partial;
pub mod predict;
// Without training, few kinds of files are read.
#[cfg_attr(not(feature = "train"), allow(dead_code))]
mod read;
mod recognise;
pub mod surgery;
pub mod tape;
mod taxonomy;
#[cfg(feature = "train")]
pub mod train;
pub mod weights;

pub use backbone::{Activations, Architecture, Backbone};
pub use checkpoint::{Description, ModelFile, WeightDType};
pub use combine::{Decision, DecisionRule};
pub use error::{Error, Result, write_atomically};
#[doc(hidden)]
pub use escape::{printable, printable_json};
pub use head::{ClassWeightRule, ClassWeights, Head, HeadSpec, LossKind, LossTerm};
#[cfg(feature = "image")]
pub use input::Photo;
pub use input::{InputSpec, Interpolation};
pub use layers::{BatchNormMode, Mode};
pub use lock::FolderLock;
#[doc(hidden)]
pub use lock::OutputLock;
pub use model::{JointSpec, ModelSpec, MultiTaskModel};
pub use novelty::{Novelty, NoveltySpec};
pub use predict::{Average, Ensemble, HeadPrediction, Manifest, Prediction, Predictor, Views};
pub use taxonomy::{Labels, MAX_CLASSES, Taxonomy};
