//! Listings, persons, splits, corrections, augmentation.

mod augment;
mod augment_golden;
mod corrections;
mod data;
mod groups;
mod layouts;
mod multi_label;
#[cfg(feature = "parquet")]
mod parquet;
mod tar;
mod trust_data;
mod trust_seen;
