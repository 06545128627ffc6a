//! Balancing by learned variances.

use super::Adam;
use serde::{Deserialize, Serialize};

/// Each head's term of the joint loss is exp(−s)·L + s / 2 with a learned log-variance s (Kendall, Gal and Cipolla 2018,
/// "Multi-Task Learning Using Uncertainty to Weigh Losses"): a head whose loss stays large counts less, and s / 2 keeps the
/// variance from growing.
///
/// s starts at 0 and is learned by Adam with the heads' learning rate and its schedule, whatever optimiser the weights have. The
/// head's `weight` multiplies the whole term, to which Adam is blind, so it does not change the course of s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uncertainty {
    log_variances: Vec<f64>,
    adam: Adam,
}

impl Uncertainty {
    /// Variances of 1.
    pub fn new(heads: usize) -> Self {
        Self {
            log_variances: vec![0.0; heads],
            adam: Adam::new(heads),
        }
    }

    /// s of each head.
    #[cfg(test)]
    pub fn log_variances(&self) -> &[f64] {
        &self.log_variances
    }

    /// exp(−s) of each head.
    pub fn factors(&self) -> Vec<f64> {
        self.log_variances.iter().map(|s| (-s).exp()).collect()
    }

    /// A step of the log-variances after these losses; a head without one stays.
    pub fn update(&mut self, losses: &[Option<f64>], lr: f64) {
        let gradients: Vec<Option<f64>> = self
            .factors()
            .iter()
            .zip(losses)
            .map(|(factor, loss)| loss.map(|loss| 0.5 - factor * loss))
            .collect();
        self.adam.step(&mut self.log_variances, &gradients, lr);
    }
}
