//! Losses of ordered labels over the K − 1 borders between them.

use super::batch::{Batch, Valued};

/// The binary cross-entropies that `corn` has for label c of `labels`: those of the borders up to the first it is not beyond.
pub(super) fn tasks(c: usize, labels: usize) -> usize {
    (c + 1).min(labels - 1)
}

/// −log σ(x) and σ(x), without overflow.
pub(super) fn surprise(x: f64) -> (f64, f64) {
    let e = (-x.abs()).exp();
    let sigmoid = if x >= 0.0 {
        1.0 / (1.0 + e)
    } else {
        e / (1.0 + e)
    };
    ((-x).max(0.0) + e.ln_1p(), sigmoid)
}

/// Σ s Σ_k [b_k · −log σ(a_k) + (r_k) · −log σ(−a_k)] / total, where `borders` says of a photo's weighted targets how much of
/// them lies beyond border k, b, and how much of what counts there does not, r.
fn binary(batch: &Batch, total: f64, borders: impl Fn(&[f64], usize) -> (f64, f64)) -> Valued {
    let n = batch.labels();
    let (mut value, mut gradient) = (0.0, vec![0.0; batch.logits.len()]);
    for (i, s, targets) in batch.rows() {
        let terms = targets.iter().zip(batch.class_weights);
        let weighted: Vec<f64> = terms.map(|(t, w)| t * w * s / total).collect();
        for k in 0..n - 1 {
            let at = i * (n - 1) + k;
            let a = batch.logits[at];
            let (beyond, before) = borders(&weighted, k);
            let ((yes, sigmoid), (no, _)) = (surprise(a), surprise(-a));
            value += beyond * yes + before * no;
            gradient[at] = (beyond + before) * sigmoid - beyond;
        }
    }
    (value, gradient)
}

/// Every border counts for every label.
pub(super) fn coral(batch: &Batch) -> Valued {
    binary(batch, batch.total(), |t, k| {
        (t[k + 1..].iter().sum(), t[..=k].iter().sum())
    })
}

/// A border counts for the labels that lie beyond the one before it.
pub(super) fn corn(batch: &Batch) -> Valued {
    let n = batch.labels();
    let of = |t: &[f64]| -> f64 {
        let terms = t.iter().zip(batch.class_weights).enumerate();
        terms.map(|(c, (t, w))| t * w * tasks(c, n) as f64).sum()
    };
    let total = batch.rows().map(|(_, s, t)| s * of(t)).sum();
    binary(batch, total, |t, k| (t[k + 1..].iter().sum(), t[k]))
}
