//! Hierarchical cross-entropy of labels in groups.

use super::batch::{Batch, Valued};
use super::kinds::log_softmax;

/// Labels, and behind them groups.
struct Nodes<'a> {
    parents: &'a [Option<usize>],
    /// Each behind all that stand in it.
    upwards: Vec<usize>,
    /// e^(−α · the groups around it).
    factors: Vec<f64>,
    /// The factor of each.
    class_weights: Vec<f64>,
}

impl<'a> Nodes<'a> {
    fn new(batch: &Batch<'a>, alpha: f64) -> Self {
        let parents = batch.parents;
        let labels = batch.labels();
        let depth = |mut node: usize| {
            let mut around = 0;
            while let Some(group) = parents[node] {
                around += 1;
                node = labels + group;
            }
            around
        };
        let depths: Vec<usize> = (0..parents.len()).map(depth).collect();
        let mut upwards: Vec<usize> = (0..parents.len()).collect();
        upwards.sort_by_key(|node| std::cmp::Reverse(depths[*node]));
        Self {
            parents,
            upwards,
            factors: depths.iter().map(|d| (-alpha * *d as f64).exp()).collect(),
            class_weights: batch.node_weights(),
        }
    }
}

/// Σ s Σ_n t_n w_n ℓ_n / total over labels and groups n, ℓ_n = −Σ e^(−α d) (log P(C) − log P(parent of C)) over n and the groups
/// C around it. A group's w is the mean of its labels'.
pub(super) fn cross_entropy(batch: &Batch, alpha: f64) -> Valued {
    let (labels, total) = (batch.labels(), batch.total());
    let nodes = Nodes::new(batch, alpha);
    let count = nodes.parents.len();
    let parent = |node: usize| nodes.parents[node].map(|group| labels + group);
    let (mut value, mut gradient) = (0.0, vec![0.0; batch.logits.len()]);
    for (i, s, targets) in batch.rows() {
        let z = &batch.logits[i * labels..][..labels];
        let mut logs = log_softmax(z.iter().copied());
        logs.resize(count, f64::NEG_INFINITY);
        // What is taught of a node or below it, and the slope by its log P.
        let mut mass = vec![0.0; count];
        let mut slopes = vec![0.0; count];
        let taught = targets.iter().chain(batch.groups_of(i));
        for ((mass, t), w) in mass.iter_mut().zip(taught).zip(&nodes.class_weights) {
            *mass = s * t * w / total;
        }
        for node in nodes.upwards.iter().copied() {
            let Some(above) = parent(node) else { continue };
            logs[above] = log_add(logs[above], logs[node]);
            mass[above] += mass[node];
        }
        for node in 0..count {
            let factor = nodes.factors[node] * mass[node];
            // What counts nothing may be infinite.
            if factor != 0.0 {
                value -= factor * logs[node];
                slopes[node] -= factor;
                if let Some(above) = parent(node) {
                    value += factor * logs[above];
                    slopes[above] += factor;
                }
            }
        }
        let all: f64 = slopes.iter().sum();
        let row = &mut gradient[i * labels..][..labels];
        for (label, g) in row.iter_mut().enumerate() {
            // log P of a node moves with a logit by the logit's share of the node, less its share of everything.
            let mut at = Some(label);
            while let Some(node) = at {
                if slopes[node] != 0.0 {
                    *g += slopes[node] * (logs[label] - logs[node]).exp();
                }
                at = parent(node);
            }
            *g -= all * logs[label].exp();
        }
    }
    (value, gradient)
}

/// log(e^a + e^b).
fn log_add(a: f64, b: f64) -> f64 {
    let (most, least) = (a.max(b), a.min(b));
    match most {
        f64::NEG_INFINITY => most,
        _ => most + (least - most).exp().ln_1p(),
    }
}
