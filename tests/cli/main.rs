//! The command as a user types it.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../fuzz/targets.rs"]
mod targets;

mod cli;
mod cli_models;
mod experiment;
mod fuzz_corpus;
mod hub;
mod messages;
mod portraits;
#[cfg(unix)]
mod reading;
mod readme;
mod seen;
#[cfg(target_os = "linux")]
mod whole;
