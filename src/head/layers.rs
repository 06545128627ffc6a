//! What is built of a head.

use super::fault::{Fault, check_share, fault};
use super::pool::PoolKind;

/// The layers between features and outputs; the last one is linear.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerSpec {
    /// Dropout probability on the features before the head.
    pub dropout: f64,
    /// Width of a hidden layer with ReLU; 0 for a linear head.
    pub hidden: usize,
    /// How the head pools the maps it reads; in a file the key `pool`.
    pub pool: PoolKind,
    /// The stages of the backbone whose maps it reads, pooled and in this order, in place of the last map; empty: the last.
    ///
    /// Stage k is the last map whose sides are a 2ᵏ-th of the photo's, as timm's `features_only` counts reductions: 1 is half
    /// its size, 5 a 32nd. Of a vision transformer, stage k is the output of its k-th block, without class token and registers.
    pub from_stage: Vec<usize>,
    /// Heads whose probabilities it sees behind its features, in this order: a chain of classifiers (Read et al. 2009). No
    /// gradient flows through them: the heads named learn from their own labels alone.
    pub after: Vec<String>,
}

/// A wider hidden layer is refused, so that a damaged file cannot ask for all memory.
const MAX_HIDDEN: usize = 65_536;

impl LayerSpec {
    /// Whether the head reads the backbone's own features and nothing else.
    pub(crate) fn reads_features(&self) -> bool {
        self.pool.is_average() && self.from_stage.is_empty() && self.after.is_empty()
    }

    pub(super) fn check(&self, head: &str) -> Result<(), Fault> {
        if self.hidden > MAX_HIDDEN {
            return fault("hidden", format!("at most {MAX_HIDDEN}"), self.hidden);
        }
        let (stages, after) = (&self.from_stage, &self.after);
        if let Some(stage) = (0..stages.len()).find(|i| stages[..*i].contains(&stages[*i])) {
            let found = format!("stage {} twice", stages[stage]);
            return fault("from_stage", "each stage once", found);
        }
        if stages.contains(&0) {
            return fault("from_stage", "stages from 1 on", 0);
        }
        if let Some(name) = (0..after.len()).find(|i| after[..*i].contains(&after[*i])) {
            let found = format!("`{}` twice", after[name]);
            return fault("after", "each head once", found);
        }
        if after.iter().any(|name| name == head) {
            return fault("after", "other heads than itself", format!("`{head}`"));
        }
        check_share("dropout", self.dropout)
    }
}
