//! Listings, persons, splits, corrections, augmentation.
#![cfg(feature = "cli")]

#[path = "../common/runs.rs"]
mod runs;

mod augment;
mod corrections;
mod data;
mod trust_data;
mod trust_seen;
