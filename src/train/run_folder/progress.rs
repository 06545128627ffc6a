//! Where a run stands.

use super::beginning::Beginning;
use super::record::EpochRecord;
use crate::train::balancing::Balancer;
use serde::{Deserialize, Serialize};

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
    /// What a run is told to be in.
    pub(super) fn in_words(&self) -> String {
        if self.finished {
            format!("finished after {} epochs", self.epochs)
        } else {
            format!("stopped in epoch {}", self.epochs + 1)
        }
    }

    /// The epoch, from 0, whose variables are saved: what was saved at the end of an epoch is of that epoch's.
    pub(in crate::train) fn epoch_saved(&self) -> usize {
        match (self.epochs, self.steps) {
            (epochs, 0) => epochs.saturating_sub(1),
            (epochs, _) => epochs,
        }
    }

    /// Whether an epoch is better than all before it: by macro F1, and among equals by the loss on the validation split. Where
    /// nothing is measured the last epoch is the model.
    pub(in crate::train) fn improves(&self, record: &EpochRecord) -> bool {
        let (Some((best, epoch)), Some(new)) = (self.best, record.macro_f1) else {
            return true;
        };
        let before = self.records.iter().find(|r| r.epoch == epoch);
        new > best || before.is_some_and(|b| record.beats(b))
    }
}
