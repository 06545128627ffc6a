//! Accuracy, precision, recall and F1 from integer counts, with scikit-learn's definitions and `zero_division = 0`.

use super::ratio;
use crate::error::{Error, Result};
use serde::ser::{Serialize, SerializeSeq, Serializer};
use std::collections::BTreeMap;

/// How often each class was predicted for photos of each class.
///
/// Only cells that occurred are held, so a taxonomy of thousands of classes costs no more than its photos. It is serialised as
/// rows of counts, row = truth, column = prediction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    cells: BTreeMap<(usize, usize), u64>,
    truths: Vec<u64>,
    predictions: Vec<u64>,
}

/// The scores of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct ClassMetrics {
    /// Of the photos predicted as this class, the share that is of it; 0 if none was predicted.
    pub precision: f64,
    /// Of the photos of this class, the share predicted as it; 0 if there is none.
    pub recall: f64,
    /// Harmonic mean of precision and recall; 0 if the class has neither truth nor prediction.
    pub f1: f64,
    /// Photos of this class.
    pub support: u64,
    /// Photos predicted as this class.
    pub predicted: u64,
}

impl ClassMetrics {
    /// From photos of the class that were predicted as it, photos of it, and photos predicted as it.
    pub(crate) fn of(hits: u64, support: u64, predicted: u64) -> Self {
        Self {
            precision: ratio(hits, predicted),
            recall: ratio(hits, support),
            f1: ratio(2 * hits, support + predicted),
            support,
            predicted,
        }
    }
}

impl ConfusionMatrix {
    /// An empty matrix over `n` classes.
    pub fn new(n: usize) -> Self {
        Self {
            cells: BTreeMap::new(),
            truths: vec![0; n],
            predictions: vec![0; n],
        }
    }

    /// Number of declared classes.
    pub fn num_classes(&self) -> usize {
        self.truths.len()
    }

    /// Counts one photo.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if either index is not below [`num_classes`](Self::num_classes); nothing is counted then.
    pub fn add(&mut self, truth: usize, predicted: usize) -> Result<()> {
        let limit = self.num_classes();
        for (what, found) in [("true class", truth), ("predicted class", predicted)] {
            if found >= limit {
                return Err(Error::OutOfRange {
                    what: what.into(),
                    limit,
                    found,
                });
            }
        }
        *self.cells.entry((truth, predicted)).or_default() += 1;
        self.truths[truth] += 1;
        self.predictions[predicted] += 1;
        Ok(())
    }

    /// Photos of class `truth` that were predicted as class `predicted`.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.cells.get(&(truth, predicted)).copied().unwrap_or(0)
    }

    /// The cells that occurred, as `((truth, predicted), photos)`, in order.
    pub fn cells(&self) -> impl Iterator<Item = ((usize, usize), u64)> + '_ {
        self.cells.iter().map(|(cell, photos)| (*cell, *photos))
    }

    /// All counts, `counts[truth][predicted]`.
    pub fn counts(&self) -> Vec<Vec<u64>> {
        (0..self.num_classes()).map(|t| self.row(t)).collect()
    }

    pub(crate) fn row(&self, truth: usize) -> Vec<u64> {
        let mut row = vec![0; self.num_classes()];
        for ((_, predicted), photos) in self.cells.range((truth, 0)..(truth + 1, 0)) {
            row[*predicted] = *photos;
        }
        row
    }

    /// Photos counted.
    pub fn total(&self) -> u64 {
        self.truths.iter().sum()
    }

    /// Photos predicted right.
    pub fn correct(&self) -> u64 {
        (0..self.num_classes()).map(|c| self.count(c, c)).sum()
    }

    /// Share of photos predicted right; 0 without photos.
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct(), self.total())
    }

    /// Mean F1 over *all* declared classes: a class with neither truth nor prediction counts as 0, so the number cannot rise
    /// because a class is missing. Equal to scikit-learn's
    /// `f1_score(t, p, labels=range(n), average="macro", zero_division=0)`.
    pub fn macro_f1(&self) -> f64 {
        let n = self.num_classes();
        if n == 0 {
            return 0.0;
        }
        (0..n).map(|c| self.class(c).f1).sum::<f64>() / n as f64
    }

    /// Classes that some photo has.
    pub fn present(&self) -> usize {
        self.truths.iter().filter(|n| **n > 0).count()
    }

    /// Mean F1 over the classes that some photo has; 0 without photos. Equal to scikit-learn's
    /// `f1_score(t, p, labels=sorted(set(t)), average="macro", zero_division=0)`.
    pub fn macro_f1_present(&self) -> f64 {
        let classes = self.classes();
        let present = classes.iter().filter(|c| c.support > 0);
        present.map(|c| c.f1).sum::<f64>() / self.present().max(1) as f64
    }

    /// The scores of one class; all zero for a class that is not declared.
    pub fn class(&self, class: usize) -> ClassMetrics {
        let at = |v: &[u64]| v.get(class).copied().unwrap_or(0);
        let (support, predicted) = (at(&self.truths), at(&self.predictions));
        let hits = self.count(class, class);
        ClassMetrics::of(hits, support, predicted)
    }

    /// The scores of every declared class, in order.
    pub fn classes(&self) -> Vec<ClassMetrics> {
        (0..self.num_classes()).map(|c| self.class(c)).collect()
    }
}

impl Serialize for ConfusionMatrix {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.num_classes()))?;
        for truth in 0..self.num_classes() {
            rows.serialize_element(&self.row(truth))?;
        }
        rows.end()
    }
}
