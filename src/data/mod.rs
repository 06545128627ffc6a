//! Photos and their labels: samples, manifests and folders, splits, corrections, targets, batches.

pub mod augment;
mod broken;
pub mod check;
pub mod corrections;
pub mod dataset;
pub(crate) mod features;
pub mod loader;
pub mod manifest;
mod open;
pub mod passed_over;
pub mod person_folder;
pub(crate) mod photo_names;
mod sample;
pub mod sampling;
pub mod seen;
pub mod split;
pub mod split_report;
pub mod targets;
