//! From the K − 1 outputs of a head of ordered labels to the probabilities of its K labels.

use super::loss_kind::LossKind;

/// Less than this no log-probability is, so that a label that is impossible stays a finite number, in `f32` too.
pub(crate) const LEAST: f64 = -87.0;

/// The biases that `coral` starts from: two apart and around 0. From equal ones, as in the paper, a label between two others
/// would have no probability at first, and at the learning rates of fine-tuning borders move apart too slowly.
pub(crate) fn borders(outputs: usize) -> Vec<f64> {
    (0..outputs)
        .map(|k| outputs as f64 - 1.0 - 2.0 * k as f64)
        .collect()
}

/// log σ(x), without overflow.
pub(crate) fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// The log-probability of each label, from the outputs `a` of one photo.
///
/// `coral`: the label is greater than k with probability σ(a_k), and label k has the difference of two neighbours. Where an
/// output is greater than the one before it, which the loss works against, it counts as equal to it. `corn`: σ(a_k) is
/// conditional, and the label is greater than k with the product of those up to k.
pub(crate) fn label_log_probs(kind: &LossKind, a: &[f32]) -> Vec<f32> {
    let mut above = 0.0;
    let mut log_probs = Vec::with_capacity(a.len() + 1);
    match kind {
        LossKind::Corn => {
            for a in a.iter().map(|a| f64::from(*a)) {
                log_probs.push(above + log_sigmoid(-a));
                above += log_sigmoid(a);
            }
        }
        _ => {
            let mut before = f64::INFINITY;
            for a in a.iter().map(|a| f64::from(*a)) {
                // A NaN stays one; `min` would lose it.
                let a = if a > before { before } else { a };
                // σ(b) − σ(a) = σ(b) · σ(−a) · (1 − e^(a − b)), the last factor 1 for the first label.
                let apart = if before.is_finite() {
                    (-(a - before).exp_m1()).ln()
                } else {
                    0.0
                };
                log_probs.push(above + log_sigmoid(-a) + apart);
                above = log_sigmoid(a);
                before = a;
            }
        }
    }
    log_probs.push(above);
    let finite = |v: f64| if v < LEAST { LEAST } else { v };
    log_probs.into_iter().map(|v| finite(v) as f32).collect()
}
