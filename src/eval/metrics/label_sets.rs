//! How well sets of labels are predicted, with scikit-learn's definitions for indicator matrices and `zero_division = 0`.

use super::{ClassMetrics, average_precision, ratio, roc_auc};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The labels of a photo that may have several at once, and what was predicted of them; one entry a label each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LabelSet {
    /// Whether the photo has the label.
    pub truth: Vec<bool>,
    /// Whether it was predicted to.
    pub predicted: Vec<bool>,
    /// The probability of each; empty where they are not known.
    pub probs: Vec<f64>,
}

/// What is measured of predicted sets of labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelSetMetrics {
    /// Photos.
    pub photos: u64,
    /// Share of the photos all labels of which are right; 0 without photos. Equal to scikit-learn's `accuracy_score`.
    pub exact: f64,
    /// F1 of all labels of all photos taken together. Equal to scikit-learn's `f1_score(average="micro", zero_division=0)`.
    pub micro_f1: f64,
    /// Each label's precision, recall, F1 and counts. Equal to scikit-learn's `precision_recall_fscore_support`.
    pub labels: Vec<ClassMetrics>,
    /// The area under each label's ROC curve; `None` unless some photos have it and some have not.
    pub roc_auc: Vec<Option<f64>>,
    /// Each label's average precision; `None` if no photo has it. The mean of the others is the mean average precision, equal to
    /// scikit-learn's `average_precision_score(average="macro")` over the labels that some photo has.
    pub average_precision: Vec<Option<f64>>,
}

impl LabelSetMetrics {
    /// Of these photos, which may have any of `labels` labels. Without the probabilities of some photo, areas under curves are
    /// not known.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a photo has not one entry a label, or a probability that is no number from 0 to 1.
    pub fn new(labels: usize, photos: &[LabelSet]) -> Result<Self> {
        for (place, photo) in photos.iter().enumerate() {
            check(labels, photo, place)?;
        }
        let count = |is: &dyn Fn(&LabelSet) -> bool| photos.iter().filter(|p| is(p)).count() as u64;
        let of_label = |label: usize| {
            let hits = count(&|p| p.truth[label] && p.predicted[label]);
            let support = count(&|p| p.truth[label]);
            let predicted = count(&|p| p.predicted[label]);
            ClassMetrics::of(hits, support, predicted)
        };
        let right = |p: &LabelSet| {
            let pairs = p.truth.iter().zip(&p.predicted);
            pairs.filter(|(t, p)| **t && **p).count() as u64
        };
        let all = |of: &dyn Fn(&LabelSet) -> &[bool]| {
            let there = |p| of(p).iter().filter(|v| **v).count() as u64;
            photos.iter().map(there).sum::<u64>()
        };
        let hits: u64 = photos.iter().map(right).sum();
        let both = all(&|p| &p.truth) + all(&|p| &p.predicted);
        let known = !photos.is_empty() && photos.iter().all(|p| p.probs.len() == labels);
        let curve = |of: fn(&[(f64, bool)]) -> Option<f64>| -> Vec<Option<f64>> {
            let column = |label: usize| -> Vec<(f64, bool)> {
                let pair = |p: &LabelSet| (p.probs[label], p.truth[label]);
                photos.iter().map(pair).collect()
            };
            let places = (0..labels).filter(|_| known);
            places.map(|label| of(&column(label))).collect()
        };
        Ok(Self {
            photos: photos.len() as u64,
            exact: ratio(count(&|p| p.truth == p.predicted), photos.len() as u64),
            micro_f1: ratio(2 * hits, both),
            labels: (0..labels).map(of_label).collect(),
            roc_auc: curve(roc_auc),
            average_precision: curve(average_precision),
        })
    }

    /// Mean F1 over all labels, one that neither occurs nor is predicted counting as 0. Equal to scikit-learn's
    /// `f1_score(average="macro", zero_division=0)`.
    pub fn macro_f1(&self) -> f64 {
        mean(self.labels.iter().map(|l| l.f1))
    }

    /// Mean F1 over the labels that some photo has; 0 if there are none.
    pub fn macro_f1_present(&self) -> f64 {
        mean(self.present().map(|l| l.f1))
    }

    /// Mean recall over the labels that some photo has; 0 if there are none.
    pub fn recall(&self) -> f64 {
        mean(self.present().map(|l| l.recall))
    }

    /// Mean F1 over the labels, each by the photos it has; 0 if no photo has any. Equal to scikit-learn's
    /// `f1_score(average="weighted", zero_division=0)`.
    pub fn weighted_f1(&self) -> f64 {
        let all: u64 = self.labels.iter().map(|l| l.support).sum();
        let sum: f64 = self.labels.iter().map(|l| l.f1 * l.support as f64).sum();
        if all == 0 { 0.0 } else { sum / all as f64 }
    }

    /// The labels that some photo has.
    pub(in crate::eval) fn present(&self) -> impl Iterator<Item = &ClassMetrics> {
        self.labels.iter().filter(|l| l.support > 0)
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    match values.len() {
        0 => 0.0,
        n => values.iter().sum::<f64>() / n as f64,
    }
}

fn check(labels: usize, photo: &LabelSet, place: usize) -> Result<()> {
    let invalid = |what: &str, expected: String, found: String| {
        Err(Error::Invalid {
            what: format!("{what} of photo {place}"),
            expected,
            found,
        })
    };
    for (what, found) in [
        ("the true labels", photo.truth.len()),
        ("the predicted labels", photo.predicted.len()),
    ] {
        if found != labels {
            return invalid(
                what,
                format!("{labels} entries, one a label"),
                found.to_string(),
            );
        }
    }
    // Means of rounded numbers may end a hair above 1.
    let fits = |p: &f64| (0.0..=1.0 + 1e-6).contains(p);
    let what = "the probabilities";
    let expected = format!("{labels} numbers from 0 to 1, or none");
    if ![0, labels].contains(&photo.probs.len()) {
        return invalid(what, expected, photo.probs.len().to_string());
    }
    match photo.probs.iter().find(|p| !fits(p)) {
        Some(wrong) => invalid(what, expected, wrong.to_string()),
        None => Ok(()),
    }
}
