//! Balancing by the norms of the heads' gradients.

use super::{Adam, LEAST};
use serde::{Deserialize, Serialize};

/// No factor becomes smaller: a negative one would teach a head to be wrong.
const FLOOR: f64 = 0.01;

/// GradNorm (Chen et al. 2018): factors w are learned so that the gradient of each head, of norm w·n, comes near the mean of all
/// norms times rᵅ, where r is the head's inverse training rate: its loss over its first one, relative to the mean of that over
/// the heads. What falls is Σ |w·n − mean · rᵅ|, the second term held constant. After each step of Adam (the paper leaves the
/// optimiser open) the factors are scaled so that their sum stays the number of heads; none becomes less than 0.01 before that.
///
/// The norms are those at the **features**, where the heads begin, and not at the weights of some layer. Everything the gradient
/// of a shared weight is made of has come through the features, whatever the backbone, how much of it is trained, or whether the
/// features were computed beforehand; and a backward pass through a head alone costs hardly anything. The paper takes the last
/// shared layer's weights, whose gradient is a linear function of this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradNorm {
    alpha: f64,
    lr: f64,
    factors: Vec<f64>,
    /// Each head's first loss.
    first: Vec<Option<f64>>,
    adam: Adam,
}

impl GradNorm {
    /// Factors of 1.
    pub fn new(alpha: f64, lr: f64, heads: usize) -> Self {
        Self {
            alpha,
            lr,
            factors: vec![1.0; heads],
            first: vec![None; heads],
            adam: Adam::new(heads),
        }
    }

    /// α and the learning rate.
    pub fn settings(&self) -> (f64, f64) {
        (self.alpha, self.lr)
    }

    /// The factors.
    pub fn factors(&self) -> &[f64] {
        &self.factors
    }

    /// A step of the factors after these losses, whose gradients at the features (without factors) have these norms. Heads
    /// without a loss stay, and so does the sum of the others' factors.
    pub fn update(&mut self, losses: &[Option<f64>], norms: &[f64]) {
        // (head, loss over the first one) of those that take part.
        let mut present = Vec::new();
        for (head, loss) in losses.iter().enumerate() {
            if let Some(loss) = loss {
                let first = self.first[head].get_or_insert(*loss).max(LEAST);
                present.push((head, loss.max(LEAST) / first));
            }
        }
        if present.is_empty() {
            return;
        }
        let count = present.len() as f64;
        let mean_ratio = present.iter().map(|(_, ratio)| ratio).sum::<f64>() / count;
        let norm = |head: usize| self.factors[head] * norms[head];
        let mean_norm = present.iter().map(|(head, _)| norm(*head)).sum::<f64>() / count;
        let mut gradients = vec![None; losses.len()];
        for (head, ratio) in &present {
            let wanted = mean_norm * (ratio / mean_ratio).powf(self.alpha);
            let excess = norm(*head) - wanted;
            // As PyTorch's gradient of |x|: 0 at 0.
            let sign = if excess == 0.0 { 0.0 } else { excess.signum() };
            gradients[*head] = Some(sign * norms[*head]);
        }
        let sum = |factors: &[f64]| present.iter().map(|(head, _)| factors[*head]).sum::<f64>();
        let before = sum(&self.factors);
        self.adam.step(&mut self.factors, &gradients, self.lr);
        for (head, _) in &present {
            self.factors[*head] = self.factors[*head].max(FLOOR);
        }
        let scale = before / sum(&self.factors);
        for (head, _) in &present {
            self.factors[*head] *= scale;
        }
    }
}
