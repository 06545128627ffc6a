//! Finished runs, read back from their folders.

use super::changes::{used_heads, without_details};
use super::code::Code;
use super::figure::Figure;
use super::record::{FILE, RunRecord};
use super::state::{INDEX, Index, State};
use crate::error::{Error, Result};
use crate::eval::metrics::Metric;
use crate::tensors::hash::hexadecimal;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The photos a run was scored on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The fold held out: a run of an experiment.
    HeldOut,
    /// The validation side: a run of `hydranet train`.
    Valid,
}

/// What a comparison needs of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedRun {
    /// Its folder.
    pub folder: PathBuf,
    /// Its configuration, without the seed and what never changes a result.
    pub config: toml::Table,
    /// Its seed.
    pub seed: u64,
    /// SHA-256, in hexadecimal, over the photos with their sides: runs are paired where it and the seed are equal.
    pub split: String,
    /// Photos trained on.
    pub trained: usize,
    /// The photos it was scored on.
    pub side: Side,
    /// How many these are.
    pub scored: usize,
    /// Seconds it took, if known.
    pub seconds: Option<f64>,
    /// The program, if known.
    pub code: Option<Code>,
    /// Figures by name.
    pub scores: BTreeMap<String, f64>,
}

impl FinishedRun {
    /// Reads a run folder: one of an experiment (`run.json`) or of `hydranet train` (`scores.json`).
    ///
    /// # Errors
    /// [`Error::Io`] for a file that is not there, [`Error::Config`] for one that is not what this program writes,
    /// [`Error::Invalid`] for a run that has not come to its end.
    pub fn read(folder: &Path) -> Result<Self> {
        let record = RunRecord::read(folder)?;
        if record.as_ref().is_some_and(|r| !r.finished) {
            return Err(Error::Invalid {
                what: folder.display().to_string(),
                expected: "a finished run".into(),
                found: "one that was stopped; start the experiment again to go on with it".into(),
            });
        }
        let path = folder.join("config.toml");
        let text = crate::io::read::text(&path, crate::io::read::SETTINGS)?;
        let config: toml::Table = toml::from_str(&text).map_err(|e| broken(&path, &e))?;
        let seed = config.get("train").and_then(|t| t.get("seed"));
        let seed = seed
            .and_then(toml::Value::as_integer)
            .ok_or_else(|| broken(&path, &"train.seed is not there"))?;
        let (side, scores) = match &record {
            Some(record) => (Side::HeldOut, record.scores.clone()),
            None => (Side::Valid, read_scores(&folder.join("scores.json"))?),
        };
        let (split, trained, scored) = read_split(&folder.join("split.csv"), side)?;
        Ok(Self {
            folder: folder.into(),
            config: without_details(config),
            seed: seed as u64,
            split,
            trained,
            side,
            scored,
            seconds: record.as_ref().map(|r| r.seconds),
            code: record.map(|r| r.code),
            scores,
        })
    }

    /// Macro F1 of the final class and of each of its heads.
    fn usual_figures(&self) -> Vec<Figure> {
        Figure::usual(&used_heads(&self.config))
    }
}

/// Runs to be compared, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collected {
    /// The runs in the order given, an experiment's baseline before its variants.
    pub runs: Vec<FinishedRun>,
    /// What the first experiment among them compares; macro F1 of the final class and of each head if there is none.
    pub figures: Vec<Figure>,
    /// Its confidence; 0.95 if there is none.
    pub confidence: f64,
}

/// The finished runs of run folders and of whole experiments.
///
/// # Errors
/// As [`FinishedRun::read`]; [`Error::Invalid`] for a folder that is neither.
pub fn collect(paths: &[PathBuf]) -> Result<Collected> {
    let (mut runs, mut how) = (Vec::new(), None);
    for path in paths {
        let index = path.join(INDEX);
        if index.is_file() {
            let bytes = crate::io::read::bytes(&index, crate::io::read::RECORD)?;
            let read: Index = serde_json::from_slice(&bytes).map_err(|e| broken(&index, &e))?;
            let mut done: Vec<_> = read
                .runs
                .iter()
                .filter(|r| r.state == State::Done)
                .collect();
            done.sort_by_key(|r| r.title != "baseline");
            for run in done {
                runs.push(FinishedRun::read(&path.join(&run.folder))?);
            }
            how = how.or(Some((read.metrics, read.confidence)));
        } else if path.join(FILE).is_file() || path.join("config.toml").is_file() {
            runs.push(FinishedRun::read(path)?);
        } else {
            return Err(Error::Invalid {
                what: path.display().to_string(),
                expected: "the folder of a run (config.toml, scores.json) or of an experiment (experiment.json)".into(),
                found: if path.is_dir() { "a folder without these".into() } else { "no folder".into() },
            });
        }
    }
    let (figures, confidence) = how.unwrap_or_else(|| {
        let figures = runs.first().map(FinishedRun::usual_figures);
        (figures.unwrap_or_default(), 0.95)
    });
    Ok(Collected {
        runs,
        figures,
        confidence,
    })
}

fn broken(path: &Path, message: &dyn std::fmt::Display) -> Error {
    Error::Config {
        origin: path.display().to_string(),
        message: message.to_string(),
        source: None,
    }
}

/// The figures of a [`ScoreReport`](crate::eval::score::ScoreReport) as written.
fn read_scores(path: &Path) -> Result<BTreeMap<String, f64>> {
    let bytes = crate::io::read::bytes(path, crate::io::read::RECORD)?;
    let report: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| broken(path, &e))?;
    let heads = report["heads"].as_array().into_iter().flatten();
    let heads = heads.filter_map(|h| Some((Some(h["name"].as_str()?.to_string()), h)));
    let mut scores = BTreeMap::new();
    for (head, values) in heads.chain([(None, &report["class"])]) {
        for metric in Metric::ALL {
            if let Some(value) = values[metric.name()].as_f64() {
                let head = head.clone();
                scores.insert(Figure { head, metric }.to_string(), value);
            }
        }
    }
    Ok(scores)
}

/// Fingerprint of a `split.csv`, photos trained on, photos of the side.
fn read_split(path: &Path, side: Side) -> Result<(String, usize, usize)> {
    let bytes = crate::io::read::bytes(path, crate::io::read::RECORD)?;
    let mut lines = Vec::new();
    let (mut trained, mut scored) = (0, 0);
    let scored_side = match side {
        Side::HeldOut => "test",
        Side::Valid => "valid",
    };
    for row in csv::Reader::from_reader(bytes.as_slice()).records() {
        let row = row.map_err(|e| broken(path, &e))?;
        let split = row.get(2).unwrap_or_default();
        trained += usize::from(split == "train");
        scored += usize::from(split == scored_side);
        lines.push(format!("{row:?}\n"));
    }
    lines.sort();
    let mut hash = Sha256::new();
    lines.iter().for_each(|line| hash.update(line));
    Ok((hexadecimal(hash.finalize()), trained, scored))
}
