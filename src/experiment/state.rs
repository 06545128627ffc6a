//! Where the runs of an experiment stand: `experiment.json`.

use super::figure::Figure;
use super::record::RunRecord;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The name of [`Index`]'s file.
pub(crate) const INDEX: &str = "experiment.json";

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is finished.
    Done,
    /// A loss or gradient was not finite; it would be so again.
    Failed,
    /// It was stopped, and the next start goes on with it.
    Stopped,
    /// It has not been begun.
    ToDo,
    /// It was not begun because it would not have ended in time.
    NoTime,
    /// It was not begun because its variant was given up.
    GivenUp,
}

impl State {
    /// Of a run that was begun.
    pub(crate) fn of(record: &RunRecord) -> Self {
        match (record.finished, &record.failed) {
            (true, _) => Self::Done,
            (false, Some(_)) => Self::Failed,
            (false, None) => Self::Stopped,
        }
    }
}

/// One run, as in `experiment.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    /// What is changed against the baseline.
    pub title: String,
    /// The fold held out, counted from 1.
    pub fold: usize,
    /// The seed.
    pub seed: u64,
    /// Where it stands.
    pub state: State,
    /// Its folder, relative to the experiment's.
    pub folder: PathBuf,
    /// What it is recognised by.
    pub fingerprint: String,
}

/// `experiment.json`: the runs of an experiment, and how they are to be compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    pub metrics: Vec<Figure>,
    pub confidence: f64,
    pub runs: Vec<RunState>,
}
