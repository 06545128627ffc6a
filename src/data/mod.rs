//! Photos and their labels: samples, manifests and folders, splits, corrections, targets, batches.

pub(crate) mod augment;
mod broken;
pub(crate) mod check;
pub(crate) mod columns;
pub(crate) mod corrections;
pub(crate) mod dataset;
pub(crate) mod faults;
pub(crate) mod features;
pub(crate) mod folder;
pub(crate) mod held;
pub(crate) mod label_cell;
pub(crate) mod loader;
pub(crate) mod manifest;
pub(crate) mod named_photo;
mod open;
#[cfg_attr(not(feature = "parquet"), path = "no_parquet.rs")]
pub(crate) mod parquet;
pub(crate) mod passed_over;
pub(crate) mod person_folder;
pub(crate) mod photo_cells;
pub(crate) mod photo_names;
pub(crate) mod sample;
pub(crate) mod sampling;
pub(crate) mod seen;
pub(crate) mod soft_labels;
pub(crate) mod sources;
pub(crate) mod split;
pub(crate) mod split_report;
pub(crate) mod table;
mod tar;
mod tar_index;
pub(crate) mod targets;
mod template;
mod unlabelled;

pub use augment::{AugmentConfig, AugmentPolicy, ColorJitter, ResizedCrop};
pub use corrections::Corrections;
pub use dataset::{Dataset, Sample, Split, Value};
pub use sampling::Sampling;
pub use split::SplitConfig;
pub use targets::Targets;

#[cfg(all(test, feature = "cli"))]
#[path = "../../tests/data/mod.rs"]
mod tests;
