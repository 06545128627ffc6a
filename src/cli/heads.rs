//! `hydranet heads`.

use clap::Args;
use std::process::ExitCode;

/// Arguments of `hydranet heads`.
#[derive(Args)]
pub(crate) struct Heads {}

impl Heads {
    pub(crate) fn run(&self) -> hydranet::Result<ExitCode> {
        Ok(ExitCode::SUCCESS)
    }
}
