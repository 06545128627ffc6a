//! The folder and its files.

use super::metrics;
use super::progress::Progress;
use super::record::EpochRecord;
use crate::data::dataset::Dataset;
use crate::error::{Error, Remedy, Result};
use crate::io::lock::FolderLock;
use crate::io::table::write_csv;
use crate::io::write_atomically;
use crate::model_file::{Tensors, read_tensors, to_bytes};
use crate::train::config::Config;
use std::path::{Path, PathBuf};

/// Where a run stands.
const STATE: &str = "state.safetensors";
/// Where it stood at the beginning of the epoch within which it was stopped.
const EPOCH: &str = "epoch.safetensors";

/// A run's folder, which this process alone writes to; or another that trains together with this one, and then nothing is written
/// here.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
    lock: Option<FolderLock>,
}

impl RunFolder {
    /// Creates the folder if need be, and locks it. One that holds a run already is refused unless `resume`.
    ///
    /// # Errors
    /// As [`FolderLock::take`], and [`Error::Refused`] if there is a run and `resume` is false.
    pub fn create(path: &Path, resume: bool) -> Result<Self> {
        let folder = Self {
            lock: Some(FolderLock::take(path)?),
            path: path.to_path_buf(),
        };
        if Self::holds_run(path) && !resume {
            return Err(Error::Refused {
                what: format!("the run's folder {}", path.display()),
                expected: "a new folder, or to go on with the run in it".into(),
                found: "a folder that holds a run".into(),
                remedy: Remedy::Resume,
            });
        }
        Ok(folder)
    }

    /// The folder of a run that another process writes.
    pub(in crate::train) fn of_another(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            lock: None,
        }
    }

    /// Whether this process writes to it.
    pub(in crate::train) fn is_own(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether a folder holds a run that can go on.
    pub fn holds_run(path: &Path) -> bool {
        path.join(STATE).is_file()
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
        if !self.is_own() {
            return Ok(());
        }
        let rows = records.iter().map(|r| metrics::cells(heads, records, r));
        write_csv(
            &self.path("metrics.csv"),
            metrics::titles(heads, records),
            rows,
        )
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
        if !self.is_own() {
            return Ok(());
        }
        let bytes = packed(progress, model, optimizer)?;
        let (state, epoch) = (self.path(STATE), self.path(EPOCH));
        if progress.steps == 0 {
            let _ = std::fs::remove_file(&epoch);
        } else if progress.epochs > 0 && !epoch.exists() {
            // What stands there is of the end of the epoch before. Without it only a run that passes over photos has less to
            // go back to: no reason not to save where the run stands now.
            let _ = std::fs::hard_link(&state, &epoch).or_else(|_| {
                let bytes = std::fs::read(&state)?;
                write_atomically(&epoch, &bytes).map_err(std::io::Error::other)
            });
        }
        write_atomically(&state, &bytes)
    }

    /// Reads where the run stands: progress, the model's tensors, the optimiser's.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Checkpoint`].
    pub fn read_state(&self) -> Result<(Progress, Tensors, Tensors)> {
        self.read(STATE)
    }

    /// As [`read_state`](Self::read_state), where the run stood at the beginning of the epoch behind `epochs`, within which it
    /// was stopped.
    ///
    /// # Errors
    /// As [`read_state`](Self::read_state), and [`Error::Invalid`] if that was not kept.
    pub(super) fn read_epoch(&self, epochs: usize) -> Result<(Progress, Tensors, Tensors)> {
        if self.path(EPOCH).is_file() {
            let state = self.read(EPOCH)?;
            if (state.0.epochs, state.0.steps) == (epochs, 0) {
                return Ok(state);
            }
        }
        Err(Error::Invalid {
            what: "to go on with the run without some of its photos".into(),
            expected: format!(
                "the same broken photos as when epoch {} began, or the state of then ({EPOCH}) to begin it again",
                epochs + 1
            ),
            found: "other broken photos, and no such state".into(),
        })
    }

    fn read(&self, name: &str) -> Result<(Progress, Tensors, Tensors)> {
        let path = self.path(name);
        let bytes = crate::io::read::bytes(&path, crate::io::read::WEIGHTS)?;
        unpacked(&bytes, &path.display().to_string())
    }
}

/// Where a run stands, in one piece.
///
/// # Errors
/// If memory runs out.
pub(super) fn packed(progress: &Progress, model: Tensors, optimizer: Tensors) -> Result<Vec<u8>> {
    let mut tensors: Tensors = model
        .into_iter()
        .map(|(n, t)| (format!("model.{n}"), t))
        .collect();
    tensors.extend(
        optimizer
            .into_iter()
            .map(|(n, t)| (format!("optimizer.{n}"), t)),
    );
    let text = serde_json::to_string(progress).map_err(|e| broken(STATE, e.to_string()))?;
    to_bytes(&tensors, Some(text))
}

/// Progress, the model's tensors, the optimiser's, out of what [`packed`] made.
///
/// # Errors
/// [`Error::Checkpoint`].
pub(super) fn unpacked(bytes: &[u8], origin: &str) -> Result<(Progress, Tensors, Tensors)> {
    let (metadata, tensors) = read_tensors(bytes, origin)?;
    let text = metadata
        .get("hydranet")
        .ok_or_else(|| broken(origin, "it has no description".into()))?;
    let progress = serde_json::from_str(text).map_err(|e| broken(origin, e.to_string()))?;
    let part = |prefix: &str| {
        tensors
            .iter()
            .filter_map(|(n, t)| Some((n.strip_prefix(prefix)?.to_string(), t.clone())))
            .collect()
    };
    Ok((progress, part("model."), part("optimizer.")))
}

fn broken(origin: &str, problem: String) -> Error {
    Error::Checkpoint {
        origin: origin.into(),
        problem,
        source: None,
    }
}
