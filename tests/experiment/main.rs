//! Experiments and the comparison of their runs.
#![cfg(feature = "cli")]

#[path = "../common/runs.rs"]
mod runs;

mod compare;
mod experiment;
