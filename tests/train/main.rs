//! Training: the loop, what is trained, mixing, balancing, resuming.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod balancing;
mod features;
mod fine_tuning;
mod golden_balancing;
mod mixing;
mod train;
mod trust_resume;
mod trust_runs;
