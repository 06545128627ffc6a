//! What a run says about itself: `run.json` in its folder.

use super::changes::Change;
use super::code::Code;
use crate::error::{Error, Result};
use crate::io::table::write_json;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// A run of an experiment, as in `run.json`. It is written when the run begins, and again when it ends or is stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// What was changed against the baseline.
    pub title: String,
    /// The same, value by value.
    pub changes: Vec<Change>,
    /// The fold held out, counted from 1.
    pub fold: usize,
    /// Number of folds.
    pub folds: usize,
    /// The seed.
    pub seed: u64,
    /// What it is recognised by: SHA-256 over configuration, pretrained weights, photos and sides.
    pub fingerprint: String,
    /// Fingerprint of the photos with their values and sides.
    pub data: String,
    /// The program that ended it.
    pub code: Code,
    /// Whether it has come to its end.
    pub finished: bool,
    /// Why it cannot come to its end: a loss or gradient that was not finite.
    pub failed: Option<String>,
    /// Seconds it took, over all the times it was gone on with.
    pub seconds: f64,
    /// Epochs trained.
    pub epochs: usize,
    /// The figures on the held-out photos, by name; empty before the end.
    pub scores: BTreeMap<String, f64>,
}

/// Its file in the run folder.
pub(crate) const FILE: &str = "run.json";

impl RunRecord {
    /// Of a run folder; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Config`] if it is not what this program writes.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = crate::io::read::bytes(&path, crate::io::read::RECORD)?;
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(e) => Err(Error::Config {
                origin: path.display().to_string(),
                message: "not the record of a run".into(),
                source: Some(e.into()),
            }),
        }
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(FILE), self)
    }
}
