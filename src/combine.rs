//! From the heads' logits to the final class: joint log-probability = Σ over heads of the log-probability of its label.

use crate::error::{Error, Result};
use crate::taxonomy::Taxonomy;
use serde::{Deserialize, Serialize};

/// How the final class is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The class of greatest joint probability, heads taken as independent given the photo; ties go to the lower class.
    #[default]
    Product,
}

/// log p of each label, from the logits of one photo and one head: logit − log Σ exp, shifted by the maximum.
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
    let sum: f64 = logits.iter().map(|l| (f64::from(*l) - max).exp()).sum();
    logits
        .iter()
        .map(|l| f64::from(*l) - max - sum.ln())
        .collect()
}

/// The joint log-probability of every final class, from one log-probability a label of each head.
///
/// # Errors
/// [`Error::Invalid`] if there is not one list a head with one value a label.
pub fn joint_log_probs(taxonomy: &Taxonomy, heads: &[Vec<f64>]) -> Result<Vec<f64>> {
    let fits = heads.len() == taxonomy.heads().len()
        && heads
            .iter()
            .enumerate()
            .all(|(i, h)| h.len() == taxonomy.labels(i).len());
    if !fits {
        return Err(Error::Invalid {
            what: "log-probabilities".into(),
            expected: "one list a head, one value a label".into(),
            found: format!("{:?}", heads.iter().map(Vec::len).collect::<Vec<_>>()),
        });
    }
    // Mixed radix: each head refines every class made of the heads before it.
    let start = vec![0.0];
    Ok(heads.iter().fold(start, |joint, head| {
        joint
            .iter()
            .flat_map(|j| head.iter().map(move |h| j + h))
            .collect()
    }))
}

/// The index of the greatest value; the first of equal ones. 0 for an empty list.
pub fn argmax(values: &[f64]) -> usize {
    values
        .iter()
        .enumerate()
        .fold((0, f64::NEG_INFINITY), |best, (i, v)| {
            if *v > best.1 { (i, *v) } else { best }
        })
        .0
}
