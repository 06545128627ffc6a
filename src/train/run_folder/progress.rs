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
    /// Final-class macro F1 of the epoch that is the model so far, and that epoch; `None` if none was measured.
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

    /// The highest final-class macro F1 so far, and the first epoch that has it; `None` if none was measured.
    pub fn highest(&self) -> Option<(f64, usize)> {
        let measured = self.records.iter();
        let measured = measured.filter_map(|r| Some((r.macro_f1?, r.epoch)));
        measured.reduce(|a, b| if b.0 > a.0 { b } else { a })
    }

    /// Whether an epoch, measured on so many persons, takes the place of the model so far: if its macro F1 is not below the
    /// highest by more than a standard error. Later epochs have lower learning rates, and which of several is highest on few
    /// persons is chance (the one-standard-error rule of Breiman et al. 1984). Where nothing is measured the last epoch is the
    /// model.
    pub(in crate::train) fn replaces_model(&self, record: &EpochRecord, persons: usize) -> bool {
        let (Some((highest, _)), Some(new)) = (self.highest(), record.macro_f1) else {
            return true;
        };
        let error = (highest * (1.0 - highest) / persons.max(1) as f64).sqrt();
        new >= highest - error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: usize, macro_f1: Option<f64>) -> EpochRecord {
        let record = serde_json::json!({
            "epoch": epoch, "train_loss": 1.0, "valid_loss": 1.0, "macro_f1": macro_f1, "accuracy": null,
            "head_accuracy": [], "head_macro_f1": [],
        });
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn an_epoch_replaces_the_model_unless_it_is_worse_by_more_than_a_standard_error() {
        let mut progress = Progress::default();
        assert!(progress.replaces_model(&record(1, Some(0.1)), 100));
        progress.records = vec![
            record(1, Some(0.5)),
            record(2, Some(0.3)),
            record(3, Some(0.5)),
        ];
        assert_eq!(progress.highest(), Some((0.5, 1)));
        // Of 100 persons the standard error of 0.5 is 0.05.
        let replaces = |f1, persons| progress.replaces_model(&record(4, Some(f1)), persons);
        assert!(replaces(0.46, 100) && !replaces(0.44, 100));
        assert!(replaces(0.496, 10_000) && !replaces(0.494, 10_000));
        assert!(replaces(0.01, 0), "of nobody nothing is told apart");
        assert!(progress.replaces_model(&record(4, None), 100));
    }
}
