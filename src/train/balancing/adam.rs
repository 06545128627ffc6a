//! Adam over a few numbers.

use serde::{Deserialize, Serialize};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;

/// Adam (Kingma and Ba 2015) over one number a head, as PyTorch's: β = (0.9, 0.999), ε = 1e-8, no decay. Each number counts the
/// steps it has taken part in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    first: Vec<f64>,
    second: Vec<f64>,
    steps: Vec<i32>,
}

impl Adam {
    /// Moments of 0 for so many heads.
    pub fn new(heads: usize) -> Self {
        Self {
            first: vec![0.0; heads],
            second: vec![0.0; heads],
            steps: vec![0; heads],
        }
    }

    /// One step of each value that has a gradient.
    pub fn step(&mut self, values: &mut [f64], gradients: &[Option<f64>], lr: f64) {
        for (i, (value, gradient)) in values.iter_mut().zip(gradients).enumerate() {
            let Some(g) = gradient else { continue };
            self.steps[i] += 1;
            self.first[i] = BETA1 * self.first[i] + (1.0 - BETA1) * g;
            self.second[i] = BETA2 * self.second[i] + (1.0 - BETA2) * g * g;
            let first = self.first[i] / (1.0 - BETA1.powi(self.steps[i]));
            let second = self.second[i] / (1.0 - BETA2.powi(self.steps[i]));
            *value -= lr * first / (second.sqrt() + EPS);
        }
    }
}
