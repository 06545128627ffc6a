//! `hydranet push` and `hydranet pull`: to and from the Hugging Face Hub.

use super::output::{Progress, say};
use crate::hub::{Create, Hub, pull, push};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Bytes are shown in these.
const MB: u64 = 1_000_000;

/// Arguments of `hydranet push`.
#[derive(Args)]
pub(crate) struct Push {
    /// The repository: hf://organisation/name, then @branch or nothing (main).
    #[arg(value_name = "REPOSITORY")]
    to: String,
    /// A folder, whose files are all uploaded but the hidden ones, or one model file, which becomes model.safetensors.
    path: PathBuf,
    /// Make the repository if there is none.
    #[arg(long)]
    pub(super) create: bool,
    /// Make it private.
    #[arg(long, requires = "create")]
    private: bool,
}

/// Arguments of `hydranet pull`.
#[derive(Args)]
pub(crate) struct Pull {
    /// The repository: hf://organisation/name, then @revision or nothing (main).
    #[arg(value_name = "REPOSITORY")]
    from: String,
    /// The folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace the folder if it is there, with everything in it.
    #[arg(long)]
    overwrite: bool,
}

impl Push {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let create = match (self.create, self.private) {
            (false, _) => Create::No,
            (true, false) => Create::Public,
            (true, true) => Create::Private,
        };
        let mut progress = Progress::of("upload", "MB");
        let mut tell = |done, of| show(&mut progress, done, of);
        let pushed = push(&Hub::from_env(), &self.to, &self.path, create, &mut tell);
        progress.end();
        let pushed = pushed?;
        list(&pushed.files);
        say(format!("{}: commit {}", pushed.page, pushed.commit));
        Ok(ExitCode::SUCCESS)
    }
}

impl Pull {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let mut progress = Progress::of("download", "MB");
        let mut tell = |done, of| show(&mut progress, done, of);
        let hub = Hub::from_env();
        let pulled = pull(&hub, &self.from, &self.out, self.overwrite, &mut tell);
        progress.end();
        let pulled = pulled?;
        list(&pulled.files);
        say(format!("{}: commit {}", self.out.display(), pulled.commit));
        Ok(ExitCode::SUCCESS)
    }
}

fn show(progress: &mut Progress, done: u64, of: u64) {
    progress.show((done / MB) as usize, of.div_ceil(MB) as usize);
}

fn list(files: &[(String, u64)]) {
    for (name, size) in files {
        say(format!("{name}: {size} bytes"));
    }
}
