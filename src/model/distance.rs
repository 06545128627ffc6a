//! The final class that is expected to be least far from the right one.

use crate::taxonomy::{Groups, Taxonomy};

/// How far apart two labels of a head are, from 0 to 1: in the tree of its groups, or without groups 1 if they are two; 1 too
/// where the head applies to one of two final classes only.
pub(crate) fn apart(groups: Option<&Groups>, a: Option<usize>, b: Option<usize>) -> f64 {
    match (a, b, groups) {
        (Some(a), Some(b), Some(groups)) => groups.share_of_distance(a, b),
        _ if a == b => 0.0,
        _ => 1.0,
    }
}

/// The class of the least sum, over the heads, of the distance that is expected of its label from the right one, by the
/// probabilities of all classes: conditional risk minimisation (Karthik et al. 2021, "No Cost Likelihood Manipulation at Test
/// Time for Making Better Mistakes") with [`apart`] as the cost; ties go to the lower class.
pub(super) fn least_distance(taxonomy: &Taxonomy, log_probs: &[f64]) -> usize {
    let leaves = taxonomy.leaves();
    let mut costs = vec![0.0; leaves.len()];
    for head in 0..taxonomy.heads().len() {
        let mut of_labels = vec![0.0; taxonomy.labels(head).len()];
        let mut of_none = 0.0;
        for (leaf, log) in leaves.iter().zip(log_probs) {
            match leaf[head] {
                Some(label) => of_labels[label] += log.exp(),
                None => of_none += log.exp(),
            }
        }
        let all: f64 = of_labels.iter().sum();
        let expected: Vec<f64> = match taxonomy.groups(head) {
            Some(groups) => groups.expected_distances(&of_labels),
            None => of_labels.iter().map(|own| all - own).collect(),
        };
        for (cost, leaf) in costs.iter_mut().zip(&leaves) {
            *cost += leaf[head].map_or(all, |label| expected[label] + of_none);
        }
    }
    let least = |best: usize, class: usize| {
        if costs[class] < costs[best] {
            class
        } else {
            best
        }
    };
    (0..costs.len()).fold(0, least)
}
