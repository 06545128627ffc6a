//! Means over the classes, other than the plain one of [`ConfusionMatrix::macro_f1`].

use super::{ConfusionMatrix, ratio};

impl ConfusionMatrix {
    /// F1 of all photos taken together. Every photo has one class and one prediction, so it is the accuracy. Equal to
    /// scikit-learn's `f1_score(t, p, labels=range(n), average="micro")`.
    pub fn micro_f1(&self) -> f64 {
        let hits = self.correct();
        ratio(2 * hits, 2 * self.total())
    }

    /// Mean F1 over the classes, each by the photos it has; 0 without photos. Equal to scikit-learn's
    /// `f1_score(t, p, labels=range(n), average="weighted", zero_division=0)`.
    pub fn weighted_f1(&self) -> f64 {
        let classes = self.classes();
        let sum: f64 = classes.iter().map(|c| c.f1 * c.support as f64).sum();
        match self.total() {
            0 => 0.0,
            total => sum / total as f64,
        }
    }

    /// Mean recall over the classes that some photo has; 0 without photos. Unlike macro F1 it leaves absent classes out, as
    /// scikit-learn's `balanced_accuracy_score(t, p)` does.
    pub fn balanced_accuracy(&self) -> f64 {
        let classes = self.classes();
        let present: Vec<f64> = classes
            .iter()
            .filter(|c| c.support > 0)
            .map(|c| c.recall)
            .collect();
        match present.len() {
            0 => 0.0,
            n => present.iter().sum::<f64>() / n as f64,
        }
    }
}
