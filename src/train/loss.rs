//! The loss of one head, on soft targets, with class weights and missing labels.

use crate::error::Result;
use crate::head::LossKind;
use candle_core::{D, DType, Tensor};

/// The settings of one head's loss, with class weights as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadLoss {
    /// The kind.
    pub kind: LossKind,
    /// Factor of each label.
    pub class_weights: Vec<f64>,
    /// Label smoothing ε.
    pub smoothing: f64,
}

impl HeadLoss {
    /// What [`loss`](Self::loss) divides by: Σᵢ sᵢ Σ_c tᵢ_c w_c, over rows of targets and the photos' weights.
    pub fn total(&self, targets: &[f32], weights: &[f32]) -> f64 {
        let labels = self.class_weights.len();
        let (keep, rest) = (1.0 - self.smoothing, self.smoothing / labels as f64);
        let row = |row: &[f32]| -> f64 {
            let terms = row.iter().zip(&self.class_weights);
            terms.map(|(t, w)| (keep * f64::from(*t) + rest) * w).sum()
        };
        let rows = targets.chunks_exact(labels).zip(weights);
        rows.map(|(r, s)| f64::from(*s) * row(r)).sum()
    }

    /// Σᵢ sᵢ ℓᵢ / Σᵢ sᵢ Σ_c tᵢ_c w_c, with ℓᵢ = −Σ_c w_c tᵢ_c f(pᵢ_c) log pᵢ_c, f = 1 for cross-entropy and (1 − p)^γ for
    /// focal loss; t the smoothed targets, w the class weights, s the weight of each photo, 0 where the label is missing. For
    /// hard labels this is PyTorch's `CrossEntropyLoss(weight)`, which divides by the weights of the labels met.
    ///
    /// `None` if no photo of the batch has the label.
    ///
    /// # Shapes
    /// `logits` and `targets` `(batch, num_labels)`, `weights` `(batch)`; result a scalar.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn loss(
        &self,
        logits: &Tensor,
        targets: &Tensor,
        weights: &Tensor,
    ) -> Result<Option<Tensor>> {
        let labels = logits.dim(1)?;
        let dtype = logits.dtype();
        let class_weights =
            Tensor::new(self.class_weights.as_slice(), logits.device())?.to_dtype(dtype)?;
        let targets = ((targets * (1.0 - self.smoothing))? + self.smoothing / labels as f64)?;
        // Everything that is constant to the gradient in one factor per logit.
        let factors = targets
            .broadcast_mul(&class_weights)?
            .broadcast_mul(&weights.unsqueeze(1)?)?;
        let total = factors
            .sum_all()?
            .to_dtype(DType::F64)?
            .to_scalar::<f64>()?;
        if total <= 0.0 {
            return Ok(None);
        }
        let log_probs = candle_nn::ops::log_softmax(logits, D::Minus1)?;
        let terms = match self.kind {
            LossKind::CrossEntropy => log_probs,
            // (1 − p)⁰ = 1, but its derivative as a power is 0 · ∞ at p = 1.
            LossKind::Focal { gamma: 0.0 } => log_probs,
            LossKind::Focal { gamma } => {
                // Kept off 0, where a power below 1 has no derivative.
                let miss = (1.0 - log_probs.exp()?)?.maximum(1e-7)?;
                (miss.powf(gamma)? * log_probs)?
            }
        };
        Ok(Some(((terms * factors)?.sum_all()? * (-1.0 / total))?))
    }
}
