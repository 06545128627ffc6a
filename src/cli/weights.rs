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
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The folder that files are looked for in.
    #[arg(long, default_value = "weights", value_name = "DIR")]
    folder: PathBuf,
}

impl Weights {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let carried = shipped().iter();
        let carried = carried.map(|(name, bytes)| (name.to_string(), mib(bytes.len() as u64)));
        let files = weights_files(&self.folder).into_iter();
        let files = files.map(|(name, bytes)| (name, mib(bytes)));
        let on_hub = Architecture::all().filter_map(|a| {
            let [side, _] = a.input().size;
            let what = format!("{side} × {side}, {}", a.licence());
            Some((format!("{HUB}{}", a.hub_name()?), what))
        });
        self.list("in the program", carried);
        self.list(&format!("in the folder {}", self.folder.display()), files);
        self.list(
            "on the Hugging Face Hub, fetched when they are named",
            on_hub,
        );
        Ok(ExitCode::SUCCESS)
    }

    /// Those of the name asked for.
    fn list(&self, place: &str, weights: impl Iterator<Item = (String, String)>) {
        let named = self.name.as_deref().unwrap_or_default();
        let found: Vec<_> = weights.filter(|(name, _)| name.contains(named)).collect();
        let none = if found.is_empty() { " none" } else { "" };
        say(format!("{place}:{none}"));
        for (name, what) in found {
            say(format!("  {name:<62}{what}"));
        }
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
