//! `hydranet completions`.

use super::Cli;
use super::output::say;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};
use std::process::ExitCode;

/// Arguments of `hydranet completions`.
#[derive(Args)]
#[command(
    after_help = "For bash: hydranet completions bash > ~/.local/share/bash-completion/completions/hydranet"
)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "hydranet", &mut script);
        say(String::from_utf8_lossy(&script).trim_end());
        Ok(ExitCode::SUCCESS)
    }
}
