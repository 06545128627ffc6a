//! Photos, and damaged input of every kind.
#![cfg(feature = "cli")]

#[path = "../common/runs.rs"]
mod runs;
#[path = "../fuzz/targets.rs"]
mod targets;
#[path = "../common/tiny.rs"]
mod tiny;

mod fuzz_corpus;
mod photos;
mod photos_hostile;
mod pngs;
