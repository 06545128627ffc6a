//! How near numbers are predicted, with scikit-learn's definitions.

use serde::{Deserialize, Serialize};

/// A number, and what was predicted of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumberPair {
    /// The number.
    pub truth: f64,
    /// What was predicted.
    pub predicted: f64,
    /// Whether the number lies in the interval that was predicted.
    pub inside: bool,
}

/// What is measured of predicted numbers; `None` where it is not defined or there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NumberMetrics {
    /// Mean distance of prediction and truth, in the unit of the data. Equal to scikit-learn's `mean_absolute_error`.
    pub mean_absolute_error: Option<f64>,
    /// The coefficient of determination R², 1 − Σ (truth − predicted)² / Σ (truth − mean of the truths)²: 1 is perfect, 0 is the
    /// mean told of every photo. `None` where all truths are the same. Equal to scikit-learn's `r2_score` otherwise.
    pub r2: Option<f64>,
    /// The share of numbers inside of the predicted interval.
    pub coverage: Option<f64>,
}

impl NumberMetrics {
    /// Of these photos.
    pub fn new(pairs: &[NumberPair]) -> Self {
        if pairs.is_empty() {
            return Self::default();
        }
        let count = pairs.len() as f64;
        let mean_of = |f: &dyn Fn(&NumberPair) -> f64| pairs.iter().map(f).sum::<f64>() / count;
        let mean = mean_of(&|p| p.truth);
        let varied = mean_of(&|p| (p.truth - mean).powi(2));
        let left = mean_of(&|p| (p.truth - p.predicted).powi(2));
        let alike = pairs.iter().all(|p| p.truth == pairs[0].truth);
        Self {
            mean_absolute_error: Some(mean_of(&|p| (p.truth - p.predicted).abs())),
            r2: (!alike).then(|| 1.0 - left / varied),
            coverage: Some(mean_of(&|p| if p.inside { 1.0 } else { 0.0 })),
        }
    }
}
