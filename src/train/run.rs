//! The run folder: what a training run leaves behind, and what it needs to go on.
//!
//! `config.toml`, `split.csv`, `metrics.csv`, `best.safetensors`, `last.safetensors`, `state.safetensors`,
//! `valid_predictions.csv`, `scores.json`. Every file is written to a sibling, then renamed.

use super::balancing::{Balancer, GradientReport, cells, header};
use super::config::Config;
use super::resume::Beginning;
use crate::data::dataset::Dataset;
use crate::data::targets::labels;
use crate::error::{Error, Result, write_atomically};
use crate::io::lock::FolderLock;
use crate::model_file::{Tensors, read_tensors, to_bytes};
use crate::predict::Prediction;
use crate::taxonomy::Taxonomy;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// One epoch's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean joint loss over the epoch's steps, as the heads' `weight`s alone make it, whatever balances them.
    pub train_loss: f64,
    /// Joint loss on the validation split; `None` without one.
    pub valid_loss: Option<f64>,
    /// Final-class macro F1 on the validation split (on heads alone, their mean, where no photo has every label); `None` if nothing
    /// there has a label.
    pub macro_f1: Option<f64>,
    /// Final-class accuracy on the validation split; `None` where no photo has every label.
    pub accuracy: Option<f64>,
    /// Each head's accuracy on the validation split, in order; `None` for one whose label no photo there has.
    pub head_accuracy: Vec<Option<f64>>,
    /// Each head's macro F1 on the validation split, in order, likewise.
    pub head_macro_f1: Vec<Option<f64>>,
    /// Mean factor of each head's loss (with `pc_grad` of its gradient on the backbone) over the epoch's steps, beside the head's
    /// `weight`; `None` for a head that took part in none. Empty with `train.balancing = "fixed"`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub head_weights: Vec<Option<f64>>,
    /// The heads' gradients on the backbone, where they were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradients: Option<GradientReport>,
}

impl EpochRecord {
    /// Whether it is better than another: by macro F1, and among equals by the loss on the validation split.
    pub(super) fn beats(&self, other: &Self) -> bool {
        let loss = |r: &Self| r.valid_loss.unwrap_or(f64::INFINITY);
        let equal = self.macro_f1 == other.macro_f1;
        self.macro_f1 > other.macro_f1 || equal && loss(self) < loss(other)
    }
}

/// Where a run stands; with the tensors beside it, everything needed to go on as if it had never stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Whole epochs done.
    pub epochs: usize,
    /// Steps done in the epoch after them.
    pub steps: usize,
    /// Steps the optimiser has done.
    pub optimizer_steps: u64,
    /// Epochs whose weights are averaged so far.
    #[serde(default)]
    pub averaged: u64,
    /// Sum of the joint losses of those `steps`.
    pub loss_sum: f64,
    /// Best final-class macro F1 so far, and its epoch; `None` if none was measured.
    pub best: Option<(f64, usize)>,
    /// The epochs' figures.
    pub records: Vec<EpochRecord>,
    /// Fingerprint of the data; a run goes on only with the same.
    pub data: String,
    /// The settings and rows it began with; `None` in states of before they were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Beginning>,
    /// The photos that were passed over, because they cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// Whether training has ended.
    pub finished: bool,
    /// How the heads are balanced.
    #[serde(default, skip_serializing_if = "Balancer::is_default")]
    pub balancing: Balancer,
}

impl Progress {
    /// Whether an epoch is better than all before it: by macro F1, and among equals by the loss on the validation split. Where
    /// nothing is measured the last epoch is the model.
    pub(super) fn improves(&self, record: &EpochRecord) -> bool {
        let (Some((best, epoch)), Some(new)) = (self.best, record.macro_f1) else {
            return true;
        };
        let before = self.records.iter().find(|r| r.epoch == epoch);
        new > best || before.is_some_and(|b| record.beats(b))
    }
}

/// A run's folder, which this process alone writes to.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: FolderLock,
}

impl RunFolder {
    /// Creates the folder if need be, and locks it. One that holds a run already is refused unless `resume`.
    ///
    /// # Errors
    /// As [`FolderLock::take`], and [`Error::Invalid`] if there is a run and `resume` is false.
    pub fn create(path: &Path, resume: bool) -> Result<Self> {
        let folder = Self {
            _lock: FolderLock::take(path)?,
            path: path.to_path_buf(),
        };
        let holds_run = folder.path("state.safetensors").exists();
        if holds_run && !resume {
            return Err(Error::Invalid {
                what: format!("--out {}", path.display()),
                expected: "a new folder, or --resume to go on with the run in it".into(),
                found: "a folder that holds a run".into(),
            });
        }
        if resume && !holds_run {
            return Err(Error::Invalid {
                what: format!("--resume with --out {}", path.display()),
                expected: "a folder that holds a run (state.safetensors)".into(),
                found: "none".into(),
            });
        }
        Ok(folder)
    }

    /// The path of one of its files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes the resolved configuration.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_config(&self, config: &Config) -> Result<()> {
        write_atomically(&self.path("config.toml"), config.to_toml()?.as_bytes())
    }

    /// Writes which photo stands on which side.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_split(&self, dataset: &Dataset) -> Result<()> {
        let rows = dataset.samples.iter().map(|s| {
            let split = s.split.map(|s| s.name()).unwrap_or_default();
            let mut row = vec![
                s.name.clone(),
                s.person.clone().unwrap_or_default(),
                split.to_string(),
            ];
            row.extend(dataset.listing(s));
            row
        });
        let mut header = ["path", "person", "split"].map(String::from).to_vec();
        header.extend(dataset.listing_title());
        write_csv(&self.path("split.csv"), &header, rows)
    }

    /// Writes the epochs' figures; `heads` are the names of the heads, and of the joint head, if there is one, last.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_metrics(&self, heads: &[String], records: &[EpochRecord]) -> Result<()> {
        let mut titles: Vec<String> = ["epoch", "train_loss", "valid_loss", "macro_f1", "accuracy"]
            .map(String::from)
            .to_vec();
        // A joint head has no scores of its own.
        let scored = records.first().map_or(0, |r| r.head_accuracy.len());
        for head in heads.iter().take(scored) {
            titles.extend([format!("{head}_accuracy"), format!("{head}_macro_f1")]);
        }
        titles.extend(header(heads, records));
        let rows = records.iter().map(|r| {
            let mut row = vec![
                r.epoch.to_string(),
                format!("{:.6}", r.train_loss),
                cell(r.valid_loss),
                cell(r.macro_f1),
                cell(r.accuracy),
            ];
            for (a, f) in r.head_accuracy.iter().zip(&r.head_macro_f1) {
                row.extend([cell(*a), cell(*f)]);
            }
            row.extend(cells(heads, records, r));
            row
        });
        write_csv(&self.path("metrics.csv"), &titles, rows)
    }

    /// Writes where the run stands.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_state(
        &self,
        progress: &Progress,
        model: Tensors,
        optimizer: Tensors,
    ) -> Result<()> {
        let mut tensors: Tensors = model
            .into_iter()
            .map(|(n, t)| (format!("model.{n}"), t))
            .collect();
        tensors.extend(
            optimizer
                .into_iter()
                .map(|(n, t)| (format!("optimizer.{n}"), t)),
        );
        let text = serde_json::to_string(progress).map_err(|e| self.broken(e.to_string()))?;
        write_atomically(
            &self.path("state.safetensors"),
            &to_bytes(&tensors, Some(text))?,
        )
    }

    /// Reads where the run stands: progress, the model's tensors, the optimiser's.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Checkpoint`].
    pub fn read_state(&self) -> Result<(Progress, Tensors, Tensors)> {
        let path = self.path("state.safetensors");
        let bytes = crate::io::read::bytes(&path, crate::io::read::WEIGHTS)?;
        let (metadata, tensors) = read_tensors(&bytes, &path.display().to_string())?;
        let text = metadata
            .get("hydranet")
            .ok_or_else(|| self.broken("it has no description".into()))?;
        let progress = serde_json::from_str(text).map_err(|e| self.broken(e.to_string()))?;
        let part = |prefix: &str| {
            tensors
                .iter()
                .filter_map(|(n, t)| Some((n.strip_prefix(prefix)?.to_string(), t.clone())))
                .collect()
        };
        Ok((progress, part("model."), part("optimizer.")))
    }

    fn broken(&self, problem: String) -> Error {
        Error::Checkpoint {
            origin: self.path("state.safetensors").display().to_string(),
            problem,
        }
    }
}

/// A figure in a table; empty if it was not measured.
fn cell(figure: Option<f64>) -> String {
    figure.map(|f| format!("{f:.6}")).unwrap_or_default()
}

/// Writes predictions as CSV: path, final class, name, probability, then each head's label, its truth where known, and the
/// probability of each of its labels; of several listings also which one the photo is of, last.
///
/// # Errors
/// [`Error::Io`].
pub fn write_predictions(
    path: &Path,
    taxonomy: &Taxonomy,
    dataset: &Dataset,
    indices: &[usize],
    predictions: &[Prediction],
) -> Result<()> {
    let mut header: Vec<String> = ["path", "class", "name", "prob"].map(String::from).to_vec();
    for (i, head) in taxonomy.heads().iter().enumerate() {
        header.extend([head.clone(), format!("{head}_truth")]);
        header.extend(taxonomy.labels(i).iter().map(|l| format!("{head}_{l}")));
    }
    header.extend(dataset.listing_title());
    let rows = indices.iter().zip(predictions).map(|(i, p)| {
        let sample = &dataset.samples[*i];
        let mut row = vec![
            sample.name.clone(),
            p.class.to_string(),
            p.name.clone(),
            format!("{:.6}", p.prob),
        ];
        let known = labels(&dataset.heads, sample);
        let applies = taxonomy.applies(&known);
        for (head, h) in p.heads.iter().enumerate() {
            let truth = known[head].filter(|_| applies[head] != Some(false));
            let truth = truth
                .map(|t| taxonomy.labels(head)[t].clone())
                .unwrap_or_default();
            row.extend([h.label.clone().unwrap_or_default(), truth]);
            row.extend(h.probs.iter().map(|p| format!("{p:.6}")));
        }
        row.extend(dataset.listing(sample));
        row
    });
    write_csv(path, &header, rows)
}

/// Writes a value as JSON.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| Error::Config {
        origin: path.display().to_string(),
        message: e.to_string(),
    })?;
    bytes.push(b'\n');
    write_atomically(path, &bytes)
}

pub(crate) fn write_csv(
    path: &Path,
    header: &[String],
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<()> {
    let fail = |e: csv::Error| Error::io("write", path, std::io::Error::other(e.to_string()));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(fail)?;
    for row in rows {
        writer.write_record(row).map_err(fail)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|e| Error::io("write", path, std::io::Error::other(e.to_string())))?;
    write_atomically(path, &bytes)
}
