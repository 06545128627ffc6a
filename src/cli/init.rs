//! `hydranet init`.

use super::terminal::{note, say};
use crate::init::propose;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `hydranet init`.
#[derive(Args)]
#[command(
    after_help = "A folder has a folder a label (cat/, dog/), levels of them (fruit/apple/), sides (train/, val/, test/) or several labels in a name (Apple___Black_rot). The columns of a CSV are told apart by what stands in them. Photos are only looked at, and the CSV stays as it is."
)]
pub(crate) struct Init {
    /// A folder of photos, a CSV, a table in Parquet, or a shard in tar.
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The folder for the heads and model.toml.
    #[arg(long, default_value = "heads", value_name = "DIR")]
    out: PathBuf,
    /// The listing that is written for a folder.
    #[arg(long, default_value = "photos.csv", value_name = "FILE")]
    listing: PathBuf,
    /// Overwrite files that are there.
    #[arg(long)]
    overwrite: bool,
}

impl Init {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let proposal = propose(&self.path, &self.out, &self.listing)?;
        proposal.said.iter().for_each(say);
        proposal.write(self.overwrite)?;
        for (path, _) in &proposal.files {
            note(format!("wrote {}", path.display()));
        }
        let heads = word(&self.out);
        let data = word(&proposal.data);
        say("read what was written, change what is wrong, and then:");
        say(format!("  hydranet check --data {data} --heads {heads}"));
        say(format!(
            "  hydranet train --data {data} --heads {heads} --out runs/first"
        ));
        say(format!(
            "  hydranet evaluate --model runs/first/best.safetensors --data {data}"
        ));
        Ok(ExitCode::SUCCESS)
    }
}

/// A path as a word of a command line.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@\\".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
