//! Class weights as numbers: given, or from the training split.

use super::dataset::{Dataset, Split, empty_split};
use super::loss::HeadLoss;
use super::targets::label;
use crate::error::Result;
use crate::head::{ClassWeightRule, ClassWeights, HeadSpec};

/// "balanced" class weights: photos / (labels · photos with the label), as scikit-learn; 0 for a label no photo has.
pub fn balanced_weights(counts: &[usize]) -> Vec<f64> {
    let total: usize = counts.iter().sum();
    let share = total as f64 / counts.len().max(1) as f64;
    counts
        .iter()
        .map(|c| if *c == 0 { 0.0 } else { share / *c as f64 })
        .collect()
}

/// The loss of one head, its class weights as numbers; `"balanced"` ones from the photos `train`.
pub(super) fn head_loss(head: &HeadSpec, dataset: &Dataset, train: &[usize]) -> Result<HeadLoss> {
    let place = dataset
        .heads
        .iter()
        .position(|h| h.name == head.name)
        .unwrap_or(0);
    let mut counts = vec![0; head.num_labels()];
    for i in train {
        if let Some(v) = &dataset.samples[*i].values[place] {
            counts[label(head, v)] += 1;
        }
    }
    if counts.iter().all(|c| *c == 0) {
        let reason = format!(
            "no photo of it has a label for head `{}` (column `{}`)",
            head.name,
            head.column()
        );
        return Err(empty_split(dataset, Split::Train, &reason));
    }
    let class_weights = match &head.class_weights {
        ClassWeights::Equal => vec![1.0; counts.len()],
        ClassWeights::Given(w) => w.clone(),
        ClassWeights::Rule(ClassWeightRule::Balanced) => balanced_weights(&counts),
    };
    Ok(HeadLoss {
        kind: head.loss,
        class_weights,
        smoothing: head.smoothing,
    })
}
