//! The temperature that makes probabilities fit best.

use crate::model::combine::normalise;

/// The temperature T > 0 for which the mean of −log p(truth) over some photos is least, p being softmax(log-probabilities / T)
/// (Guo et al. 2017, "On Calibration of Modern Neural Networks"): that of the calibrated log-probabilities that `at` gives for
/// each photo.
///
/// Looked for between 1/64 and 64: on a grid of 49, since with borders between ordered labels there may be several valleys, then
/// by the golden section around its best point, to a ten-millionth. 1 without photos.
pub fn best_temperature(truth: &[usize], at: impl Fn(usize, f64) -> Vec<f64>) -> f64 {
    if truth.is_empty() {
        return 1.0;
    }
    let loss = |log: f64| -> f64 {
        let photos = truth.iter().enumerate();
        photos
            .map(|(photo, class)| -at(photo, log.exp())[*class])
            .sum()
    };
    let edge = BOUND.ln();
    let step = edge / 24.0;
    let grid = (0..=48).map(|i| f64::from(i - 24) * step);
    let (best, _) = grid
        .map(|log| (log, loss(log)))
        .fold((0.0, f64::INFINITY), |best, found| {
            if found.1 < best.1 { found } else { best }
        });
    let (mut low, mut high) = ((best - step).max(-edge), (best + step).min(edge));
    let part = (5f64.sqrt() - 1.0) / 2.0;
    let inner = |low: f64, high: f64| [high - part * (high - low), low + part * (high - low)];
    let [mut left, mut right] = inner(low, high);
    let (mut of_left, mut of_right) = (loss(left), loss(right));
    while high - low > 1e-7 {
        if of_left <= of_right {
            (high, right, of_right) = (right, left, of_left);
            left = inner(low, high)[0];
            of_left = loss(left);
        } else {
            (low, left, of_left) = (left, right, of_right);
            right = inner(low, high)[1];
            of_right = loss(right);
        }
    }
    let found = 0.5 * (low + high);
    // What runs into a bound is at it.
    if edge - found.abs() < 1e-6 {
        BOUND.powf(found.signum())
    } else {
        found.exp()
    }
}

/// The greatest temperature; the least is one by it.
const BOUND: f64 = 64.0;

/// Whether a temperature is at a bound of its search: the photos did not say where it should end.
pub(crate) fn is_bound(temperature: f64) -> bool {
    temperature >= BOUND || temperature <= 1.0 / BOUND
}

/// log softmax(log-probabilities / T).
pub(crate) fn tempered(log_probs: &[f64], temperature: f64) -> Vec<f64> {
    let mut all: Vec<f64> = log_probs.iter().map(|p| p / temperature).collect();
    normalise(&mut all);
    all
}
