//! What is measured on probabilities instead of decisions.

use super::{average_precision, roc_auc};
use crate::error::{Error, Result};
use crate::model::combine::argmax;

/// Equal bins of the confidence that the calibration error is taken over.
pub const CALIBRATION_BINS: usize = 15;

/// The bin, from 0, of a confidence.
pub(crate) fn calibration_bin(confidence: f64) -> usize {
    let bin = (confidence * CALIBRATION_BINS as f64).ceil() as usize;
    bin.clamp(1, CALIBRATION_BINS) - 1
}

/// Each photo's true class and the probability of every class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probabilities {
    classes: usize,
    truths: Vec<usize>,
    rows: Vec<f64>,
}

impl Probabilities {
    /// No photo yet, over `classes` classes.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            ..Self::default()
        }
    }

    /// Adds a photo: its class, and one probability a class.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if the class is not declared, [`Error::Invalid`] if there is not one number from 0 to 1 for each
    /// class; nothing is added then.
    pub fn add(&mut self, truth: usize, probs: &[f64]) -> Result<()> {
        if truth >= self.classes {
            return Err(Error::OutOfRange {
                what: "true class".into(),
                limit: self.classes,
                found: truth,
            });
        }
        // Sums of rounded numbers may end a hair above 1.
        let fits = |p: &f64| (0.0..=1.0 + 1e-6).contains(p);
        if probs.len() != self.classes || !probs.iter().all(fits) {
            return Err(Error::Invalid {
                what: "probabilities".into(),
                expected: format!("{} numbers from 0 to 1", self.classes),
                found: match probs.iter().find(|p| !fits(p)) {
                    Some(p) => format!("{p} among {}", probs.len()),
                    None => probs.len().to_string(),
                },
            });
        }
        self.truths.push(truth);
        self.rows.extend_from_slice(probs);
        Ok(())
    }

    /// Photos added.
    pub fn len(&self) -> usize {
        self.truths.len()
    }

    /// Whether there is no photo.
    pub fn is_empty(&self) -> bool {
        self.truths.is_empty()
    }

    fn photos(&self) -> impl Iterator<Item = (usize, &[f64])> {
        let rows = self.rows.chunks_exact(self.classes.max(1));
        self.truths.iter().copied().zip(rows)
    }

    fn mean(&self, of: impl Fn(usize, &[f64]) -> f64) -> Option<f64> {
        let sum: f64 = self.photos().map(|(truth, row)| of(truth, row)).sum();
        (!self.is_empty()).then(|| sum / self.len() as f64)
    }

    /// Share of the photos whose class is among the `k` most probable, of equal ones the lower class first; `None` without
    /// photos. Equal to scikit-learn's `top_k_accuracy_score(t, p, k=k, labels=range(n))` where no probabilities are equal.
    pub fn top_k(&self, k: usize) -> Option<f64> {
        self.mean(|truth, row| {
            let above = |(c, p): (usize, &f64)| *p > row[truth] || (*p == row[truth] && c < truth);
            let before = row.iter().enumerate().filter(|(c, p)| above((*c, *p)));
            f64::from(u8::from(before.count() < k))
        })
    }

    /// Mean over the photos of Σ over all classes (probability − 1 if it is the photo's class)², from 0 to 2 (Brier 1950,
    /// "Verification of Forecasts Expressed in Terms of Probability"); `None` without photos. Equal to scikit-learn's
    /// `brier_score_loss(t, p, labels=range(n), scale_by_half=False)`, for two classes as well.
    pub fn brier(&self) -> Option<f64> {
        self.mean(|truth, row| {
            let square = |(c, p): (usize, &f64)| (p - f64::from(u8::from(c == truth))).powi(2);
            row.iter().enumerate().map(square).sum()
        })
    }

    /// Expected calibration error (Naeini and others 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning"; in
    /// this form Guo and others 2017, "On Calibration of Modern Neural Networks"): photos are put into [`CALIBRATION_BINS`] equal
    /// bins (from, to] by the probability of their most probable class; it is Σ over the bins of their share of the photos ·
    /// |accuracy − mean probability|. `None` without photos.
    pub fn calibration_error(&self) -> Option<f64> {
        let mut gaps = [0.0; CALIBRATION_BINS];
        for (truth, row) in self.photos() {
            let best = argmax(row);
            let confidence = row[best];
            gaps[calibration_bin(confidence)] += f64::from(u8::from(best == truth)) - confidence;
        }
        let sum: f64 = gaps.iter().map(|gap| gap.abs()).sum();
        (!self.is_empty()).then(|| sum / self.len() as f64)
    }

    /// The area under the ROC curve of each class against all others, as [`roc_auc`].
    pub fn roc_aucs(&self) -> Vec<Option<f64>> {
        self.one_against_rest(roc_auc)
    }

    /// The average precision of each class against all others, as [`average_precision`].
    pub fn average_precisions(&self) -> Vec<Option<f64>> {
        self.one_against_rest(average_precision)
    }

    fn one_against_rest(&self, of: fn(&[(f64, bool)]) -> Option<f64>) -> Vec<Option<f64>> {
        (0..self.classes)
            .map(|class| {
                let column: Vec<(f64, bool)> = self
                    .photos()
                    .map(|(truth, row)| (row[class], truth == class))
                    .collect();
                of(&column)
            })
            .collect()
    }
}
