//! Photos, and damaged input of every kind.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../fuzz/targets.rs"]
mod targets;

mod fuzz_corpus;
mod photos;
mod photos_hostile;
mod pngs;
