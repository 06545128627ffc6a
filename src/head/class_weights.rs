//! The factors of labels within a head's loss.

use super::fault::{Fault, fault};
use super::loss_kind::GREATEST;
use serde::{Deserialize, Serialize};

/// The factor of each label in its head's loss.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "class weights: expected a list of numbers, one a label, or `balanced`, or `effective_number` with a `beta`"
)]
#[non_exhaustive]
pub enum ClassWeights {
    /// Every label counts alike.
    #[default]
    Equal,
    /// A rule by name.
    Rule(ClassWeightRule),
    /// One factor a label.
    Given(Vec<f64>),
}

/// Rules that make class weights from the training split, in which a photo counts for its labels by its target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ClassWeightRule {
    /// photos / (labels · photos with the label), as scikit-learn's `class_weight="balanced"`.
    Balanced,
    /// In proportion to (1 − β) / (1 − βⁿ), n the photos with the label, and together as many as there are labels: the
    /// "class-balanced loss" (Cui et al. 2019), with the loss that is weighted.
    EffectiveNumber {
        /// β from 0, every label alike, to below 1, towards which it becomes `balanced` but for the scale.
        beta: f64,
    },
}

impl ClassWeights {
    /// Whether every label counts alike.
    pub(crate) fn is_equal(&self) -> bool {
        *self == Self::Equal
    }

    /// Whether a head of `labels` labels can have them.
    pub(super) fn check(&self, labels: usize) -> Result<(), Fault> {
        let what = "class_weights";
        match self {
            Self::Given(w) if w.len() != labels => {
                fault(what, format!("{labels}, one a label"), w.len())
            }
            Self::Given(w)
                if w.iter().any(|v| !(0.0..=GREATEST).contains(v))
                    || w.iter().all(|v| *v == 0.0) =>
            {
                let expected = "numbers of at least 0 and at most 1000000, not all 0";
                fault(what, expected, format!("{w:?}"))
            }
            Self::Rule(ClassWeightRule::EffectiveNumber { beta }) if !(0.0..1.0).contains(beta) => {
                let found = format!("effective_number.beta = {beta}");
                fault(what, "a beta from 0 to below 1", found)
            }
            _ => Ok(()),
        }
    }
}
