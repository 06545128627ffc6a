//! Balancing so that all losses fall alike.

use super::{Adam, LEAST};
use serde::{Deserialize, Serialize};

/// Fast adaptive multitask optimisation (FAMO; Liu, Feng, Stone and Liu 2023). With z = softmax(ξ), a step goes along
/// c · Σ zᵢ ∇ log Lᵢ, c = 1 / Σ (zᵢ / Lᵢ): the factor of head i is c · zᵢ / Lᵢ, and all of them sum to 1. After the step the same
/// batch's losses are computed again, and ξ takes a step of Adam against Jᵀδ + decay · ξ, where J is the Jacobian of the softmax
/// and δ = log L before − log L after: a head whose loss fell less counts more from then on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Famo {
    lr: f64,
    decay: f64,
    logits: Vec<f64>,
    adam: Adam,
}

impl Famo {
    /// ξ = 0: all heads alike.
    pub fn new(lr: f64, decay: f64, heads: usize) -> Self {
        Self {
            lr,
            decay,
            logits: vec![0.0; heads],
            adam: Adam::new(heads),
        }
    }

    /// The learning rate and the decay.
    pub fn settings(&self) -> (f64, f64) {
        (self.lr, self.decay)
    }

    /// ξ of each head.
    #[cfg(test)]
    pub fn logits(&self) -> &[f64] {
        &self.logits
    }

    /// z: the softmax of ξ over the heads that have a loss; 0 for the others.
    fn shares(&self, losses: &[Option<f64>]) -> Vec<f64> {
        let greatest = self
            .logits
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        let each = self.logits.iter().zip(losses).map(|(logit, loss)| {
            let share = (logit - greatest).exp();
            if loss.is_some() { share } else { 0.0 }
        });
        normalised(each.collect())
    }

    /// The factors of a step with these losses; 0 for a head without one.
    pub fn factors(&self, losses: &[Option<f64>]) -> Vec<f64> {
        let each = self.shares(losses).into_iter().zip(losses);
        let each = each.map(|(share, loss)| share / loss.unwrap_or(1.0).max(LEAST));
        normalised(each.collect())
    }

    /// A step of ξ after a step that took these losses from `before` to `after`; heads without a loss stay.
    pub fn update(&mut self, before: &[Option<f64>], after: &[Option<f64>]) {
        let log = |loss: f64| loss.max(LEAST).ln();
        let fall = before.iter().zip(after);
        let fall: Vec<Option<f64>> = fall
            .map(|(before, after)| Some(log((*before)?) - log((*after)?)))
            .collect();
        let shares = self.shares(before);
        let each = shares.iter().zip(&fall);
        let mean: f64 = each.map(|(share, fall)| share * fall.unwrap_or(0.0)).sum();
        let gradients: Vec<Option<f64>> = fall
            .iter()
            .zip(shares.iter().zip(&self.logits))
            .map(|(fall, (share, logit))| Some(share * ((*fall)? - mean) + self.decay * logit))
            .collect();
        self.adam.step(&mut self.logits, &gradients, self.lr);
    }
}

/// Numbers of at least 0, divided by their sum; as they are if that is 0.
fn normalised(values: Vec<f64>) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    if sum > 0.0 {
        values.into_iter().map(|v| v / sum).collect()
    } else {
        values
    }
}
