//! `hydranet health`.

use super::ConfigArgs;
use super::output::{Progress, say, say_json, show_corrections};
use clap::Args;
use hydranet::ModelFile;
use hydranet::audit::health::{HealthConfig, Looker, health};
use hydranet::train::config::{TrainConfig, load_weights};
use hydranet::train::dataset::Dataset;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `hydranet health`.
#[derive(Args)]
#[command(
    after_help = "Persons are compared by the features of --model, or else of the pretrained weights that the configuration names. Limits: blurred, dark, bright, information, size, aspect and stranger in robust units (3.5), phash and dhash in bits (6, 8), same_person as a cosine (0.6), listed in rows (100), crop=[height,width] to try with --model."
)]
pub(crate) struct Health {
    /// A CSV listing or a person folder; may be given several times.
    #[arg(long, required = true, value_name = "PATH")]
    data: Vec<PathBuf>,
    /// The folder that health.json and health.csv are written to.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A trained model: its heads take the place of the heads folder, and what its crop cuts off is measured.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "settings"])]
    model: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Corrections to apply, in TOML or CSV; may be given several times.
    #[arg(long, value_name = "FILE")]
    corrections: Vec<PathBuf>,
    /// Where a finding begins, as blurred=3; may be given several times.
    #[arg(long = "limit", value_name = "NAME=NUMBER")]
    limits: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Health {
    pub(crate) fn run(&self) -> hydranet::Result<ExitCode> {
        let limits = HealthConfig::with(&self.limits)?;
        let (spec, mut train, looker) = match &self.model {
            Some(path) => {
                let file = ModelFile::read(path)?;
                let config = file.description.training["config"].clone();
                let train: TrainConfig = serde_json::from_value(config).unwrap_or_default();
                let looker = Looker::trained(&file)?;
                (file.description.model, train, Some(looker))
            }
            None => {
                let config = self.config.load()?;
                let looker = match config.model.weights {
                    None => None,
                    Some(_) => {
                        let weights = load_weights(&config, &self.config.heads)?;
                        Some(Looker::pretrained(&config, weights)?)
                    }
                };
                (config.model_spec()?, config.train, looker)
            }
        };
        if self.model.is_some() {
            // Those it was trained with may lie elsewhere by now.
            train.corrections.clear();
        }
        train.corrections.extend_from_slice(&self.corrections);
        let (dataset, corrected) = Dataset::prepare(&self.data, &spec.heads, &train)?;
        show_corrections(&corrected);
        let mut progress = Progress::new("health");
        let report = health(
            &dataset,
            &spec.taxonomy()?,
            looker.as_ref(),
            &limits,
            &mut |done, of| progress.show("health", done, of),
        )?;
        progress.end();
        report.write(&self.out)?;
        match self.json {
            true => say_json(&report)?,
            false => say(&report),
        }
        Ok(ExitCode::SUCCESS)
    }
}
