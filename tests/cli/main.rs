//! The command as a user types it.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../fuzz/targets.rs"]
mod targets;

mod cli;
mod cli_models;
mod columns;
mod experiment;
mod fuzz_corpus;
mod hub;
mod init;
mod messages;
mod portraits;
#[cfg(unix)]
mod reading;
mod readme;
mod recipes;
mod remote;
mod report;
mod report_browser;
mod seen;
mod shards;
#[cfg(target_os = "linux")]
mod whole;

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

/// The command, in a folder.
fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hydranet"));
    command.current_dir(folder);
    command
}

/// What it says to these arguments.
fn hydranet(folder: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    command(folder).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn works(folder: &Path, args: &[&str]) -> String {
    let out = hydranet(folder, args);
    let (said, errors) = (text(&out.stdout), text(&out.stderr));
    assert!(out.status.success(), "{args:?}: {errors}{said}");
    said
}
