//! Losses of labels of which a photo may have several: each label's own, whether it is there or not.

use super::batch::{Batch, Valued};
use super::cumulative::surprise;

/// Σ s Σ_c w_c [t_c · there(z_c) + (1 − t_c) · absent(z_c)] / (K · Σ s), each with its derivative by z.
fn mean(
    batch: &Batch,
    there: impl Fn(f64) -> (f64, f64),
    absent: impl Fn(f64) -> (f64, f64),
) -> Valued {
    let n = batch.labels();
    let total = n as f64 * batch.rows().map(|(_, s, _)| s).sum::<f64>();
    let (mut value, mut gradient) = (0.0, vec![0.0; batch.logits.len()]);
    for (i, s, targets) in batch.rows() {
        for (c, (t, w)) in targets.iter().zip(batch.class_weights).enumerate() {
            let at = i * n + c;
            let z = batch.logits[at];
            for (share, (term, slope)) in [(*t, there(z)), (1.0 - t, absent(z))] {
                let factor = s * w * share / total;
                // What counts nothing may be infinite.
                if factor != 0.0 {
                    value += factor * term;
                    gradient[at] += factor * slope;
                }
            }
        }
    }
    (value, gradient)
}

/// −log σ(z) and −log σ(−z).
pub(super) fn cross_entropy(batch: &Batch) -> Valued {
    let there = |z| {
        let (term, p) = surprise(z);
        (term, p - 1.0)
    };
    mean(batch, there, |z| {
        let (term, q) = surprise(-z);
        (term, 1.0 - q)
    })
}

/// (1 − p)^γ₊ · −log p and pₘ^γ₋ · −log(1 − pₘ), pₘ = max(p − clip, 0).
pub(super) fn asymmetric(batch: &Batch, gamma_neg: f64, gamma_pos: f64, clip: f64) -> Valued {
    let there = |z| {
        let ((term, p), (_, q)) = (surprise(z), surprise(-z));
        let focus = power(q, gamma_pos);
        (focus * term, -focus * (gamma_pos * p * term + q))
    };
    mean(batch, there, |z| {
        let ((_, p), (unclipped, q)) = (surprise(z), surprise(-z));
        let above = p - clip;
        if above <= 0.0 {
            return (0.0, 0.0);
        }
        // Without a margin 1 − p is told more exactly by the logit.
        let (left, term) = if clip == 0.0 {
            (q, unclipped)
        } else {
            (1.0 - above, -(-above).ln_1p())
        };
        let focus = power(above, gamma_neg);
        // By p, then by z; without a margin q / left is 1 where both are too small to be told.
        let of_term = if clip == 0.0 { p } else { p * q / left };
        let of_focus = gamma_neg * focus / above * term * p * q;
        (focus * term, of_focus + focus * of_term)
    })
}

/// x^γ, 1 for γ = 0.
fn power(x: f64, gamma: f64) -> f64 {
    if gamma == 0.0 { 1.0 } else { x.powf(gamma) }
}
