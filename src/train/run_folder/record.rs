//! The figures of an epoch.

use crate::train::balancing::GradientReport;
use serde::{Deserialize, Serialize};

/// One epoch's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochRecord {
    /// Counted from 1.
    pub epoch: usize,
    /// Mean joint loss over the epoch's steps, as the heads' `weight`s alone make it, whatever balances them.
    pub train_loss: f64,
    /// Joint loss on the validation split; `None` without one.
    pub valid_loss: Option<f64>,
    /// Final-class macro F1 on the validation split (on heads alone, their mean, where no photo has every label); `None` if
    /// nothing there has a label.
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
    /// Learning rate of the backbone's last stage at the epoch's last step; `None` where nothing of it is trained, and in records
    /// of before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr_backbone: Option<f64>,
    /// Learning rate of the heads at the epoch's last step; `None` in records of before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr_heads: Option<f64>,
    /// The heads' gradients on the backbone, where they were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradients: Option<GradientReport>,
}

impl EpochRecord {
    /// Whether it is better than another: by macro F1, and among equals by the loss on the validation split.
    pub(in crate::train) fn beats(&self, other: &Self) -> bool {
        let loss = |r: &Self| r.valid_loss.unwrap_or(f64::INFINITY);
        let equal = self.macro_f1 == other.macro_f1;
        self.macro_f1 > other.macro_f1 || equal && loss(self) < loss(other)
    }
}
