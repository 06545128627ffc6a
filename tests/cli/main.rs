//! The command as a user types it.
#![cfg(feature = "cli")]

#[path = "../common/runs.rs"]
mod runs;
#[path = "../common/tiny.rs"]
mod tiny;

mod cli;
mod cli_models;
mod messages;
mod portraits;
#[cfg(unix)]
mod reading;
mod readme;
#[cfg(target_os = "linux")]
mod whole;
