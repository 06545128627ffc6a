//! What may be written as a head's loss and class weights.

use super::GREATEST;
use serde::{Deserialize, Serialize};

const FROM_0: &str = "of at least 0, at most 1000000";

/// The loss of one head, on soft targets t of K labels; z are the logits and p their softmax.
///
/// A loss of a hard label becomes one of a soft target as its mean over the target. The formulas are those of one photo, before
/// class weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum LossKind {
    /// Cross-entropy: −Σ t · log p.
    #[default]
    CrossEntropy,
    /// Focal loss (Lin et al. 2017, "Focal Loss for Dense Object Detection"): −Σ t · α · (1 − p)^γ · log p.
    Focal {
        /// γ ≥ 0; 0 is cross-entropy, 2 is the paper's choice.
        gamma: f64,
        /// α, one factor a label; none: all 1. Unlike class weights they are not divided by.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        alpha: Vec<f64>,
    },
    /// 1 − soft macro F1 of the batch: probabilities in place of counts, F1 = 2 Σ t·p / (Σ t + Σ p) for each label, the sums
    /// over the photos; the mean is over the labels that the batch has, by their class weights. For sure and hard predictions it
    /// is scikit-learn's `f1_score(average="macro")`. With `train.accumulate`, each part has an F1 of its own, and the parts
    /// count by their share of the labels.
    SoftF1,
    /// Label-distribution-aware margins (Cao et al. 2019, LDAM): cross-entropy in which the logit of the photo's own label is less by
    /// a margin ∝ n^(−1/4), n the training photos of the label.
    Ldam {
        /// The margin of the rarest label.
        #[serde(default = "half")]
        max_margin: f64,
        /// Factor of the logits. The paper's 30 is for a last layer with normalised weights and features; this one has none.
        #[serde(default = "one")]
        scale: f64,
    },
    /// Cross-entropy of logits raised by τ · log of the label's share of the training photos (Menon et al. 2021, "Long-tail learning via
    /// logit adjustment"). Predictions are made from the logits as they are.
    LogitAdjusted {
        /// τ ≥ 0; 0 is cross-entropy.
        #[serde(default = "one")]
        tau: f64,
    },
    /// Generalised cross-entropy (Zhang, Sabuncu 2018), for labels that are partly wrong: Σ t · (1 − p^q) / q.
    GeneralizedCrossEntropy {
        /// q from above 0, towards which it becomes cross-entropy, to 1, the mean absolute error halved.
        #[serde(default = "seven_tenths")]
        q: f64,
    },
    /// Symmetric cross-entropy (Wang et al. 2019), for labels that are partly wrong: α · cross-entropy + β · Σ t · (−A) · (1 − p).
    SymmetricCrossEntropy {
        /// α ≥ 0, the factor of cross-entropy.
        #[serde(default = "tenth")]
        alpha: f64,
        /// β ≥ 0, the factor of reverse cross-entropy.
        #[serde(default = "one")]
        beta: f64,
        /// A < 0, what log 0 is taken to be.
        #[serde(default = "minus_four")]
        log_zero: f64,
    },
    /// For ordered labels (Cao, Mirjalili, Raschka 2020): the head has K − 1 outputs a, one vector of weights and K − 1 biases,
    /// and the label is greater than k with probability σ(a_k). The sum of their K − 1 binary cross-entropies.
    Coral,
    /// For ordered labels (Shi, Cao, Raschka 2021): the head has K − 1 outputs, and σ of the k-th is the probability that the label is
    /// greater than k if it is at least k. The sum of the binary cross-entropies of k up to the label, divided by their
    /// number over the batch.
    Corn,
    /// For ordered labels: the squared earth mover's distance (Hou, Yu, Samaras 2017), Σ_k (P_k − T_k)² of the cumulative sums of
    /// p and t.
    EarthMover,
    /// The sum of some of these, each times its factor. Not for `coral` and `corn`, whose outputs mean something else.
    Sum(Vec<LossTerm>),
}

/// A part of a sum of losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossTerm {
    /// The loss.
    pub kind: LossKind,
    /// Its factor, at least 0.
    #[serde(default = "one")]
    pub factor: f64,
}

fn one() -> f64 {
    1.0
}

fn half() -> f64 {
    0.5
}

fn seven_tenths() -> f64 {
    0.7
}

fn tenth() -> f64 {
    0.1
}

fn minus_four() -> f64 {
    -4.0
}

/// A setting that is not valid: its name, what is expected, what was found.
pub(super) type Fault = (String, String, String);

impl LossKind {
    /// Focal loss without α.
    pub fn focal(gamma: f64) -> Self {
        Self::Focal {
            gamma,
            alpha: Vec::new(),
        }
    }

    /// Whether a head with this loss has an output for each of the K − 1 borders between its labels, instead of one a label.
    pub fn is_cumulative(&self) -> bool {
        matches!(self, Self::Coral | Self::Corn)
    }

    /// The outputs of a head of `labels` labels.
    pub fn num_outputs(&self, labels: usize) -> usize {
        labels - usize::from(self.is_cumulative())
    }

    /// What is wrong with it for a head of `labels` labels.
    pub(super) fn fault(&self, labels: usize) -> Option<Fault> {
        let at_least_0 = |v: f64| (0.0..=GREATEST).contains(&v);
        let positive = |v: f64| v > 0.0 && v <= GREATEST;
        let fault = |what: &str, expected: &str, found: String| {
            Some((format!("loss.{what}"), expected.to_string(), found))
        };
        // (setting, value, whether it is right, what is expected)
        let checks: Vec<(&str, f64, bool, &str)> = match self {
            Self::CrossEntropy | Self::SoftF1 | Self::Coral | Self::Corn | Self::EarthMover => {
                return None;
            }
            Self::Focal { gamma, alpha } => {
                if !alpha.is_empty() && alpha.len() != labels {
                    let expected = format!("{labels}, one a label");
                    return fault("focal.alpha", &expected, alpha.len().to_string());
                }
                let mut checks = vec![("focal.gamma", *gamma, at_least_0(*gamma), FROM_0)];
                checks.extend(
                    alpha
                        .iter()
                        .map(|a| ("focal.alpha", *a, at_least_0(*a), FROM_0)),
                );
                checks
            }
            Self::Ldam { max_margin, scale } => vec![
                (
                    "ldam.max_margin",
                    *max_margin,
                    at_least_0(*max_margin),
                    FROM_0,
                ),
                (
                    "ldam.scale",
                    *scale,
                    positive(*scale),
                    "above 0, at most 1000000",
                ),
            ],
            Self::LogitAdjusted { tau } => {
                vec![("logit_adjusted.tau", *tau, at_least_0(*tau), FROM_0)]
            }
            Self::GeneralizedCrossEntropy { q } => vec![(
                "generalized_cross_entropy.q",
                *q,
                *q > 0.0 && *q <= 1.0,
                "above 0, at most 1",
            )],
            Self::SymmetricCrossEntropy {
                alpha,
                beta,
                log_zero,
            } => vec![
                (
                    "symmetric_cross_entropy.alpha",
                    *alpha,
                    at_least_0(*alpha),
                    FROM_0,
                ),
                (
                    "symmetric_cross_entropy.beta",
                    *beta,
                    at_least_0(*beta),
                    FROM_0,
                ),
                (
                    "symmetric_cross_entropy.log_zero",
                    *log_zero,
                    *log_zero < 0.0 && *log_zero >= -GREATEST,
                    "below 0, at least -1000000",
                ),
            ],
            Self::Sum(terms) => {
                if terms.is_empty() {
                    return fault("sum", "at least one loss", "none".into());
                }
                for term in terms {
                    if term.kind.is_cumulative() || matches!(term.kind, Self::Sum(_)) {
                        let expected =
                            "losses of one output a label: neither coral, corn nor another sum";
                        return fault("sum", expected, format!("{:?}", term.kind));
                    }
                    if let Some((what, expected, found)) = term.kind.fault(labels) {
                        return fault(&format!("sum, {what}"), &expected, found);
                    }
                }
                terms
                    .iter()
                    .map(|t| ("sum.factor", t.factor, at_least_0(t.factor), FROM_0))
                    .collect()
            }
        };
        checks
            .into_iter()
            .find(|(_, _, right, _)| !right)
            .and_then(|(what, value, _, expected)| {
                fault(what, &format!("a number {expected}"), value.to_string())
            })
    }
}

/// The factor of each label in its head's loss.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "class weights: expected a list of numbers, one a label, or `balanced`, or `effective_number` with a `beta`"
)]
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
pub enum ClassWeightRule {
    /// photos / (labels · photos with the label), as scikit-learn's `class_weight="balanced"`.
    Balanced,
    /// In proportion to (1 − β) / (1 − βⁿ), n the photos with the label, and together as many as there are labels: the "class-balanced
    /// loss" (Cui et al. 2019), with the loss that is weighted.
    EffectiveNumber {
        /// β from 0, every label alike, to below 1, towards which it becomes `balanced` but for the scale.
        beta: f64,
    },
}

impl ClassWeights {
    /// What is wrong with them for a head of `labels` labels.
    pub(super) fn fault(&self, labels: usize) -> Option<Fault> {
        let fault = |expected: String, found| Some(("class_weights".into(), expected, found));
        match self {
            Self::Given(w) if w.len() != labels => {
                fault(format!("{labels}, one a label"), w.len().to_string())
            }
            Self::Given(w)
                if w.iter().any(|v| !(0.0..=GREATEST).contains(v))
                    || w.iter().all(|v| *v == 0.0) =>
            {
                fault(
                    "numbers of at least 0 and at most 1000000, not all 0".into(),
                    format!("{w:?}"),
                )
            }
            Self::Rule(ClassWeightRule::EffectiveNumber { beta }) if !(0.0..1.0).contains(beta) => {
                fault(
                    "a beta from 0 to below 1".into(),
                    format!("effective_number.beta = {beta}"),
                )
            }
            _ => None,
        }
    }
}
