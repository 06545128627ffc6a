//! Listings, persons, splits, corrections, augmentation.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod augment;
mod corrections;
mod data;
mod trust_data;
mod trust_seen;
