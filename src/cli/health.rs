//! `hydranet health`.

use super::ConfigArgs;
use super::output::{Progress, say, say_json, show_corrections};
use super::shards::{model_fingerprint, work};
use super::sides::DataArgs;
use super::terminal::note;
use crate::ModelFile;
use crate::audit::health::{HealthConfig, Looker, health, health_of, look_at};
use crate::data::dataset::Dataset;
use crate::io::lock::OutputLock;
use crate::report::audit::{Page, PageConfig};
use crate::shard::{self, Shard};
use crate::tensors::hash::of_tensors;
use crate::train::config::load_weights;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `hydranet health`.
#[derive(Args)]
#[command(
    after_help = "Persons are compared by the features of --model, or else of the pretrained weights that the configuration names. Limits: blurred, dark, bright, information, size, aspect and stranger in robust units (3.5), phash and dhash in bits (6, 8), same_person as a cosine (0.6), listed in rows (100), crop=[height,width] to try with --model."
)]
pub(crate) struct Health {
    #[command(flatten)]
    data: DataArgs,
    /// The folder for health.html, health.json and health.csv.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A trained model: its heads take the place of the heads folder, and what its crop cuts off is measured.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "settings"])]
    model: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Where a finding begins, as blurred=3; may be given several times.
    #[arg(long = "limit", value_name = "NAME=NUMBER")]
    limits: Vec<String>,
    /// Most findings of each kind on the page health.html.
    #[arg(long, default_value_t = PageConfig::default().shown, value_name = "N")]
    shown: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Look at the I-th of N parts of the photos only, and write what was read into a file in --out.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Take what all shards have read from their files in --out, in place of looking at the photos.
    #[arg(long, conflicts_with = "shard")]
    merge: bool,
}

/// What its shards are files of.
const COMMAND: &str = "health";

impl Health {
    pub(crate) fn run(&self) -> crate::Result<ExitCode> {
        let limits = HealthConfig::with(&self.limits)?;
        let mut model = String::new();
        let (spec, dataset, looker) = match &self.model {
            Some(path) => {
                let file = ModelFile::read(path)?;
                if self.merge || self.shard.is_some() {
                    model = model_fingerprint(path, None)?;
                }
                let (dataset, _) = self.data.open(&[&file.description])?;
                let looker = Looker::trained(&file)?;
                (file.description.model, dataset, Some(looker))
            }
            None => {
                let mut config = self.config.load()?;
                let corrections = &mut config.train.corrections;
                corrections.extend_from_slice(&self.data.corrections);
                self.data.columns.apply(&mut config)?;
                let looker = match config.model.weights {
                    None => None,
                    Some(_) => {
                        let weights = load_weights(&config, &self.config.heads)?;
                        model = of_tensors(&weights, "backbone.")?;
                        Some(Looker::pretrained(&config, weights)?)
                    }
                };
                let spec = config.model_spec()?;
                let mut dataset =
                    Dataset::open_as(&self.data.data, &spec.heads, &config.model.columns)?;
                self.data.split_files.apply(&mut dataset)?;
                show_corrections(&dataset.put_on_sides(
                    &config.train.split,
                    config.train.seed,
                    &config.train.corrections,
                )?);
                (spec, dataset, looker)
            }
        };
        let taxonomy = spec.taxonomy()?;
        let names = dataset.samples.iter();
        let names = names.map(|s| format!("{} {:?} {:?}", s.source, s.row, s.path()));
        let asked = json!({"looks": looker.as_ref().map(|l| l.asks(&limits))});
        let work = work(COMMAND, model, names, asked);
        let shards = self.out.join(COMMAND);
        let mut progress = Progress::new("health");
        let mut tell = |done, of| progress.show(done, of);
        if let Some(shard) = self.shard {
            crate::io::create_folder(&self.out)?;
            let path = shard::path_of(&shards, shard);
            let _lock = OutputLock::take(&path)?;
            shard::write(&path, shard, &work, |put| {
                look_at(&dataset, shard, looker.as_ref(), &limits, put, &mut tell)
            })?;
            progress.end();
            note(format!("shard {shard} of health: {}", path.display()));
            return Ok(ExitCode::SUCCESS);
        }
        let report = if self.merge {
            let joined = shard::join(&shards, &[])?;
            joined.check(&work)?;
            health_of(&joined, &dataset, &taxonomy, &limits)?
        } else {
            health(&dataset, &taxonomy, looker.as_ref(), &limits, &mut tell)?
        };
        progress.end();
        report.equal_across_sides.iter().for_each(note);
        report.write(&self.out)?;
        let page = Page {
            dataset: &dataset,
            taxonomy: &taxonomy,
            audit: None,
            features: None,
            health: Some(&report),
        };
        let shown = PageConfig {
            shown: self.shown,
            ..PageConfig::default()
        };
        page.write(&shown, &self.out.join("health.html"))?;
        if self.json {
            say_json(&report)?
        } else {
            say(&report);
            say(format!("page {}", self.out.join("health.html").display()));
        }
        Ok(ExitCode::SUCCESS)
    }
}
