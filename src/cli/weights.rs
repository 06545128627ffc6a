//! `hydranet weights`.

use super::output::say;
use crate::backbone::Architecture;
use crate::weights::source::{HUB, shipped, weights_files};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `hydranet weights`.
#[derive(Args)]
#[command(
    after_help = "Each name can be given as model.weights, for instance\n  hydranet train --data photos.csv --set model.backbone=resnet18 --set model.weights=hf://timm/resnet18.a1_in1k\nWhat is fetched stays in the cache that Python's huggingface_hub uses."
)]
pub(crate) struct Weights {
    /// Only those whose name holds this.
    #[arg(value_name = "NAME", default_value = "")]
    name: String,
    /// The folder that files are looked for in.
    #[arg(long, default_value = "weights", value_name = "DIR")]
    folder: PathBuf,
}

impl Weights {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let row = |name: &str, what: &str| {
            if name.contains(&self.name) {
                say(format!("  {name:<62}{what}"));
            }
        };
        say("in the program:");
        for (name, bytes) in shipped() {
            row(name, &mib(bytes.len() as u64));
        }
        let files = weights_files(&self.folder);
        let none = if files.is_empty() { " none" } else { "" };
        say(format!("in the folder {}:{none}", self.folder.display()));
        for (name, bytes) in files {
            row(&name, &mib(bytes));
        }
        say("on the Hugging Face Hub, fetched when they are named:");
        for architecture in Architecture::all() {
            if let Some(name) = architecture.hub_name() {
                let [side, _] = architecture.input().size;
                let licence = architecture.licence();
                row(
                    &format!("{HUB}{name}"),
                    &format!("{side} × {side}, {licence}"),
                );
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
