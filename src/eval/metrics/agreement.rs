//! Agreement beyond chance, and distance between ordered classes.

use super::ConfusionMatrix;

impl ConfusionMatrix {
    /// Cohen's kappa (Cohen 1960, "A Coefficient of Agreement for Nominal Scales"): 1 − disagreement / disagreement by chance; 1
    /// is perfect, 0 is chance. `None` where chance cannot disagree: without photos, or if truth and predictions are one and the
    /// same class throughout. Equal to scikit-learn's `cohen_kappa_score(t, p)`, which then gives `nan`.
    pub fn cohen_kappa(&self) -> Option<f64> {
        self.kappa(|truth, predicted| f64::from(u8::from(truth != predicted)))
    }

    /// Kappa with quadratic weights (Cohen 1968, "Weighted Kappa"), for classes in order: a prediction k classes off disagrees by
    /// k². Otherwise as [`cohen_kappa`](Self::cohen_kappa). Equal to scikit-learn's
    /// `cohen_kappa_score(t, p, labels=range(n), weights="quadratic")`.
    pub fn quadratic_kappa(&self) -> Option<f64> {
        self.kappa(|truth, predicted| (truth.abs_diff(predicted) as f64).powi(2))
    }

    /// Mean distance, in classes, of prediction and truth; for classes in order. `None` without photos. Equal to scikit-learn's
    /// `mean_absolute_error(t, p)`.
    pub fn mean_absolute_error(&self) -> Option<f64> {
        let off: u64 = self
            .cells()
            .map(|((truth, predicted), photos)| truth.abs_diff(predicted) as u64 * photos)
            .sum();
        match self.total() {
            0 => None,
            total => Some(off as f64 / total as f64),
        }
    }

    fn kappa(&self, weight: impl Fn(usize, usize) -> f64) -> Option<f64> {
        let observed: f64 = self
            .cells()
            .map(|((t, p), photos)| weight(t, p) * photos as f64)
            .sum();
        // By chance, a cell holds (photos of the row) · (photos of the column) / (all photos). Only classes that occur count.
        let classes = self.classes();
        let truths = || classes.iter().enumerate().filter(|(_, c)| c.support > 0);
        let predictions: Vec<(usize, f64)> = classes
            .iter()
            .enumerate()
            .filter(|(_, c)| c.predicted > 0)
            .map(|(p, c)| (p, c.predicted as f64))
            .collect();
        let expected: f64 = truths()
            .flat_map(|(t, c)| {
                let weight = &weight;
                let row = c.support as f64;
                predictions
                    .iter()
                    .map(move |(p, column)| weight(t, *p) * row * column)
            })
            .sum();
        let expected = expected / self.total() as f64;
        (expected > 0.0).then(|| 1.0 - observed / expected)
    }
}
