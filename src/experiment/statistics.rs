//! Means, spreads, and whether a paired difference is more than chance.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The standard deviation with n − 1; `None` of fewer than two values.
pub fn spread(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// Differences of runs that share their split and seed, and what they say of the mean difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PairedDifference {
    /// Pairs.
    pub pairs: usize,
    /// Mean of the differences.
    pub mean: f64,
    /// The lower end of its confidence interval; `None` of one pair.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
}

impl PairedDifference {
    /// Whether the interval leaves 0 out.
    pub fn is_distinguishable(&self) -> bool {
        matches!((self.low, self.high), (Some(low), Some(high)) if low > 0.0 || high < 0.0)
    }
}

/// The mean of paired differences with its confidence interval by Student's t, J − 1 degrees of freedom for J pairs.
///
/// The training sets of the pairs overlap, so the differences are not independent and their plain variance is too small. Nadeau
/// and Bengio 2003 ("Inference for the Generalization Error", equation 9) take (1 / J + test / train) · s² instead of s² / J,
/// where `test` and `train` are photos of the two sides; Bouckaert and Frank 2004 use it for repeated cross-validation, as here.
/// `test_over_train` is that ratio; with 0 it is the plain paired t interval. `None` of no pair.
pub fn paired_difference(
    differences: &[f64],
    test_over_train: f64,
    confidence: f64,
) -> Option<PairedDifference> {
    let (mean, pairs) = (mean(differences)?, differences.len());
    let half = spread(differences).map(|s| {
        let error = s * (1.0 / pairs as f64 + test_over_train).sqrt();
        student_quantile((1.0 + confidence) / 2.0, (pairs - 1) as f64) * error
    });
    Some(PairedDifference {
        pairs,
        mean,
        low: half.map(|h| mean - h),
        high: half.map(|h| mean + h),
    })
}

/// The quantile of Student's t distribution with `freedom` degrees of freedom; NaN unless `freedom` is above 0 and `p` between 0
/// and 1.
pub fn student_quantile(p: f64, freedom: f64) -> f64 {
    match StudentsT::new(0.0, 1.0, freedom) {
        Ok(t) if p > 0.0 && p < 1.0 => t.inverse_cdf(p),
        _ => f64::NAN,
    }
}
