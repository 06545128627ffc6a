//! `hydranet serve`, asked as any client would ask it.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod batches;
mod client;
mod guide;
mod infer;
mod limits;
mod page;
mod reload;
mod server;
mod signals;

use client::{Answer, ask};
use server::{Server, folder};
use std::path::Path;

/// What `hydranet predict --json` prints of photos in a folder.
fn predicted(folder: &Path, model: &str, photos: &[&str]) -> Vec<String> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hydranet"));
    command.current_dir(folder);
    let out = command
        .args(["predict", "--json", "--model", model])
        .args(photos)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let lines = String::from_utf8(out.stdout).unwrap();
    lines.lines().map(String::from).collect()
}

/// A line of `predict --json` without the photo's path.
fn without_path(line: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
    value.as_object_mut().unwrap().remove("path").unwrap();
    value.to_string()
}
