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
    /// How many of the backbone's last stages the head has a copy of for itself, counted as `train.fine_tune` counts them. They
    /// begin as the backbone's own and are trained with the head; their tensors are `heads.<name>.stages.…`. 0: none.
    pub own_stages: usize,
    /// The part of the image that the head sees, `[top, left, bottom, right]` in shares of its sides, in the size of the whole
    /// and through the same backbone: a second view for this head. `None`: the whole.
    pub crop: Option<[f64; 4]>,
}

/// The least side of a crop, in shares: less would be a few pixels.
const LEAST_SIDE: f64 = 0.05;

/// A wider hidden layer is refused, so that a damaged file cannot ask for all memory.
const MAX_HIDDEN: usize = 65_536;

impl LayerSpec {
    /// Whether the head reads the backbone's own features and nothing else.
    pub(crate) fn reads_features(&self) -> bool {
        self.pool.is_average()
            && self.from_stage.is_empty()
            && self.after.is_empty()
            && self.own_stages == 0
            && self.crop.is_none()
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
        if self.own_stages > 0 && !stages.is_empty() {
            let expected = "0 beside `from_stage`, which reads the stages of all";
            return fault("own_stages", expected, self.own_stages);
        }
        if self.own_stages > 0 && self.crop.is_some() {
            let expected = "0 beside `crop`, which is seen through the stages of all";
            return fault("own_stages", expected, self.own_stages);
        }
        if let Some(crop @ [top, left, bottom, right]) = self.crop {
            let is_side = |from: f64, to: f64| from >= 0.0 && to <= 1.0 && to - from >= LEAST_SIDE;
            if !is_side(top, bottom) || !is_side(left, right) {
                let expected =
                    "[top, left, bottom, right] in shares from 0 to 1, each side of at least 0.05";
                return fault("crop", expected, format!("{crop:?}"));
            }
        }
        check_share("dropout", self.dropout)
    }
}
