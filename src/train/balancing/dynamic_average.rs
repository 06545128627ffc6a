//! Balancing by the pace of the epochs' losses.

use super::LEAST;
use super::report::Mean;
use serde::{Deserialize, Serialize};

/// Dynamic weight average (Liu, Johns and Davison 2019, "End-to-End Multi-Task Learning with Attention"): with rₖ the mean loss
/// of head k in the last epoch over that in the one before, and K heads, its factor is K · exp(rₖ / T) / Σᵢ exp(rᵢ / T). A loss
/// that falls slowly counts more. r is 1 in the first two epochs, and for a head that had no loss in one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynamicAverage {
    temperature: f64,
    /// Mean losses of the last epoch and of the one before it.
    last: Vec<Option<f64>>,
    before: Vec<Option<f64>>,
    /// Those of this epoch so far.
    now: Vec<Mean>,
}

impl DynamicAverage {
    /// Before the first epoch.
    pub fn new(temperature: f64, heads: usize) -> Self {
        Self {
            temperature,
            last: vec![None; heads],
            before: vec![None; heads],
            now: vec![Mean::default(); heads],
        }
    }

    /// The temperature.
    pub fn temperature(&self) -> f64 {
        self.temperature
    }

    /// The factors of this epoch.
    pub fn factors(&self) -> Vec<f64> {
        let ratios = self.last.iter().zip(&self.before).map(|pair| match pair {
            (Some(last), Some(before)) => last / before.max(LEAST),
            _ => 1.0,
        });
        let ratios: Vec<f64> = ratios.collect();
        let greatest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let share = |r: &f64| ((r - greatest) / self.temperature).exp();
        let shares: Vec<f64> = ratios.iter().map(share).collect();
        let sum: f64 = shares.iter().sum();
        let heads = shares.len() as f64;
        shares.iter().map(|s| heads * s / sum).collect()
    }

    /// Takes in a step's losses.
    pub fn update(&mut self, losses: &[Option<f64>]) {
        for (mean, loss) in self.now.iter_mut().zip(losses) {
            mean.add(*loss);
        }
    }

    /// Ends the epoch.
    pub fn end_epoch(&mut self) {
        let now = self.now.iter_mut().map(|m| std::mem::take(m).value());
        self.before = std::mem::replace(&mut self.last, now.collect());
    }
}
