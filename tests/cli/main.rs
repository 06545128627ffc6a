//! The command as a user types it.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod cli;
mod cli_models;
mod messages;
mod portraits;
#[cfg(unix)]
mod reading;
mod readme;
#[cfg(target_os = "linux")]
mod whole;
