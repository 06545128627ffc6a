//! Whether the sides of a split are alike.

use crate::data::dataset::{Dataset, Split};
use crate::data::targets::labels;
use serde::Serialize;

/// A label's share of a side's photos beside its share of all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shift {
    /// The head.
    pub head: String,
    /// The label.
    pub label: String,
    /// The side.
    pub split: Split,
    /// The share of the side's photos with a label of this head.
    pub share: f64,
    /// The share of all photos with one.
    pub of_all: f64,
}

/// For each head of which a photo has one label, the label and side whose share lies farthest from that of all photos.
pub(super) fn shifts(dataset: &Dataset) -> Vec<Shift> {
    let mut counts: Vec<Vec<[usize; 3]>> = dataset
        .heads
        .iter()
        .map(|h| vec![[0; 3]; h.num_labels()])
        .collect();
    for sample in &dataset.samples {
        let Some(split) = sample.split else { continue };
        for (counts, label) in counts.iter_mut().zip(labels(&dataset.heads, sample)) {
            if let Some(label) = label {
                counts[label][split as usize] += 1;
            }
        }
    }
    let mut found = Vec::new();
    for (head, counts) in dataset.heads.iter().zip(&counts) {
        let total = |split: usize| counts.iter().map(|c| c[split]).sum::<usize>();
        let all: usize = (0..3).map(total).sum();
        let mut most: Option<Shift> = None;
        for split in Split::ALL {
            for (label, counts) in head.labels.names.iter().zip(counts) {
                let (side, s) = (total(split as usize), split as usize);
                if side == 0 {
                    continue;
                }
                let shift = Shift {
                    head: head.name.clone(),
                    label: label.clone(),
                    split,
                    share: counts[s] as f64 / side as f64,
                    of_all: counts.iter().sum::<usize>() as f64 / all as f64,
                };
                let far = |s: &Shift| (s.share - s.of_all).abs();
                if most.as_ref().is_none_or(|m| far(&shift) > far(m)) {
                    most = Some(shift);
                }
            }
        }
        found.extend(most);
    }
    found
}
