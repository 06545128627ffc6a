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
//! `predict_file` needs the feature `image`. Without it, [`Predictor::predict_photo`] takes pixels of any size and
//! [`Predictor::predict_tensor`] normalised tensors.
//!
//! # What is open
//!
//! | to | use |
//! |---|---|
//! | predict | [`Predictor`], [`Ensemble`]; photos, pixels or tensors in, [`Prediction`] out; [`Predictor::explain`] |
//! | put in another network | [`Backbone`], [`MultiTaskModel::from_parts`]; [`adapter`] to name it in files and train it |
//! | write another loop | [`MultiTaskModel`] over any `VarBuilder`, [`pretrained`] weights, `train::targets`, `train::HeadLoss` |
//! | read and write model files | [`ModelFile`], [`heads`] to change them, [`onnx`] for other programs |
//! | train | `train`: `Config`, `Trainer`, its `Event`s, a `Loss` of one's own, `train_head`; `data`: a `Dataset` from listings or of `Sample`s in memory |
//!
//! Beside them stand what they take and give: [`HeadSpec`], [`Taxonomy`], [`Decision`], [`tape`] for the steps of a network of one's
//! own, [`weights`] to read tensors, and the guide. The rest is private, or the command's.
//!
//! # Reading order
//!
//! Fifteen minutes: `README.md`, a file of `heads/`, this page, then `taxonomy`, `head`, `model`, `predict` and `train/trainer.rs`.
//! Arrows between the rooms below point down only: a room knows those that stand after it, and none before.
//!
//! | room | holds |
//! |---|---|
//! | `cli` | the command: arguments in, library calls, text out; called by the Python package too |
//! | `serve` | models asked over HTTP, with the feature `serve` |
//! | `init` | heads and a listing out of photos as they are |
//! | `report` | what people look at: the pages of a run, of an audit and of health, figures, heat over photos |
//! | `audit` | wrong labels, persons, health of a collection |
//! | `experiment` | variants × folds × seeds, compared with intervals |
//! | `train` | the trainer, losses, mixing, optimisers, configuration, the run's folder |
//! | `eval` | metrics, scores, decisions compared, calibration fitted |
//! | `data` | photos and labels: listings, splits, corrections, targets, batches |
//! | `predict` | a model file used: another application stops here |
//! | [`onnx`] | a model for other programs |
//! | `model_file` | one safetensors file that describes itself, and edits of its heads |
//! | `model` | a backbone that feeds several heads, and the final class |
//! | `head` | labels, loss and layers of one head |
//! | `backbone`, `layers` | the network |
//! | `input` | from photo to tensor, alike in training and prediction |
//! | [`weights`], `hub` | pretrained weights: where they come from, and other libraries' names for them |
//! | `tensors` | named tensors: read, written, fingerprinted, held against what a model asks for |
//! | [`tape`] | a network as one operator, over the kernels |
//! | [`Taxonomy`] | labels to final class, as arithmetic over integers |
//! | `shard` | a part of some work, its file, and the files of all put together |
//! | `random` | the seeded generator and its keys |
//! | `io`, `error` | files read with bounds and written whole, here or in a store; the one error, with the names, hints and escapes of its messages |
//!
//! # Features
//!
//! `image` reads photos from files, `hub` fetches weights, `train` (with `image`) fine-tunes, `audit` (with `train`) finds wrong
//! labels, `transformers` has networks of candle-transformers as backbones, `cli` (with all of these, on by default) is the command,
//! `serve` (with `cli`) its HTTP server, `parquet` (with `train`) reads and writes tables in Parquet, and `remote` (with `train`)
//! reads listings, shards and photos at `s3://`, `gs://` and `http(s)://`. An application that only predicts takes
//! `default-features = false, features = ["image"]`.
// What only the command uses is not used without it.
#![cfg_attr(not(feature = "cli"), allow(dead_code, unused_imports))]
#![deny(missing_debug_implementations, missing_docs)]
#![forbid(unsafe_code)]

// Tests of what is private stand in `tests/` too, and name things as those do that see the public part only.
#[cfg(all(test, feature = "cli"))]
extern crate self as hydranet;

// Confident learning is for the command; a benchmark asks it too.
#[cfg(feature = "audit")]
#[doc(hidden)]
pub mod audit;
mod backbone;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(all(test, feature = "cli"))]
#[path = "../tests/common/mod.rs"]
mod common;
#[cfg(feature = "train")]
pub mod data;
mod error;
mod escape;
#[cfg(feature = "train")]
mod eval;
#[cfg(feature = "train")]
mod experiment;
#[cfg(feature = "cli")]
pub mod guide;
mod head;
#[cfg(feature = "hub")]
mod hub;
#[cfg(feature = "audit")]
mod init;
mod input;
mod io;
mod layers;
mod location;
mod model;
mod model_file;
mod names;
mod nearest;
pub mod onnx;
mod predict;
mod random;
#[cfg(feature = "audit")]
mod report;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "train")]
mod shard;
pub mod tape;
mod taxonomy;
mod tensors;
#[cfg(feature = "train")]
pub mod train;
pub mod weights;

pub use backbone::{Architecture, Backbone, SavedActivations, adapter};
pub use candle_core as candle;
pub use error::{Error, HubErrorKind, Remedy, Result};
pub use head::{
    ClassWeightRule, ClassWeights, Head, HeadSpec, LabelSpec, LayerSpec, LossKind, LossSpec,
    LossTerm, MultiLabelSpec, NumberSpec, PoolKind,
};
pub use input::{InputSpec, Interpolation, Photo, PhotoSource};
pub use layers::{BatchNormMode, Mode};
pub use model::combine::{Decision, DecisionRule};
pub use model::{JointSpec, Logits, ModelSpec, MultiTaskModel, Outputs};
pub use model_file::{
    Description, ModelFile, Tensors, WeightDType, heads, pretrained, read_tensors, to_bytes,
};
pub use predict::{
    Average, Ensemble, ExplainMethod, Explanation, GroupPrediction, HeadPrediction,
    NumberPrediction, Predict, Prediction, Predictor, Views,
};
pub use taxonomy::{Labels, MAX_CLASSES, Taxonomy};

// Only to say in one place that they may be shared between threads and shown.
const fn shared<T: Send + Sync + std::fmt::Debug>() {}
const _: () = shared::<Predictor>();
const _: () = shared::<Ensemble>();
const _: () = shared::<Error>();
const _: () = shared::<MultiTaskModel>();
const _: () = shared::<ModelFile>();
const _: () = shared::<Head>();
const _: () = shared::<Taxonomy>();
const _: () = shared::<Prediction>();
#[cfg(feature = "train")]
const _: () = shared::<(
    train::Config,
    data::Dataset,
    train::Variables,
    train::Optimizer,
)>();
