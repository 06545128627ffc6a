//! Experiments and the comparison of their runs.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod compare;
mod experiment;
