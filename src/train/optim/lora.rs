//! Low-rank adaptation: its settings.

use super::pattern::matches;
use crate::tensors::Shapes;
use serde::{Deserialize, Serialize};

/// What the names of the two factors add to the weight's.
pub(crate) const LORA: [&str; 2] = [".lora_a", ".lora_b"];

/// Low-rank adaptation (Hu et al. 2021): a weight W of (O, I) stays as it is, and W + alpha / rank · B·A takes its place, with B
/// (O, rank), at first 0, and A (rank, I) trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lora {
    /// Columns of B and rows of A.
    pub rank: usize,
    /// Scale, divided by the rank.
    pub alpha: f64,
    /// Patterns of names of the backbone's weights, `*` standing for any characters. Those of them that are neither linear layers
    /// nor 1 × 1 convolutions are left alone.
    pub weights: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            weights: vec!["*.weight".into()],
        }
    }
}

impl Lora {
    /// The layer it adapts, among those of a backbone, whose lesser side is the greatest, and that side.
    pub(crate) fn widest<'a>(&self, shapes: &'a Shapes) -> Option<(&'a str, usize)> {
        let adapted = shapes
            .iter()
            .filter(|(name, shape)| self.adapts(&format!("backbone.{name}"), shape));
        adapted
            .map(|(name, shape)| (name.as_str(), shape[0].min(shape[1])))
            .max_by_key(|(_, side)| *side)
    }

    /// Whether it adapts this tensor.
    pub(crate) fn adapts(&self, name: &str, shape: &[usize]) -> bool {
        matches!(shape, [_, _] | [_, _, 1, 1])
            && name
                .strip_prefix("backbone.")
                .is_some_and(|name| self.weights.iter().any(|p| matches(p, name)))
    }
}
