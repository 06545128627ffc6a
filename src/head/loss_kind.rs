//! The kinds of loss a head can have.

use super::fault::{Fault, fault};
use serde::{Deserialize, Serialize};

/// Greatest factor of a loss: far beyond anything of use, and far below what overflows in `f32`.
pub(crate) const GREATEST: f64 = 1e6;

const FROM_0: &str = "of at least 0, at most 1000000";

/// The loss of one head, on soft targets t of K labels; z are the logits and p their softmax. Where a head predicts a number
/// ([`LabelSpec::number`](crate::LabelSpec::number)), its bins stand for the labels here: cross-entropy then is label
/// distribution learning (Gao et al. 2017) but for the entropy of the target, which has no gradient.
///
/// A loss of a hard label becomes one of a soft target as its mean over the target. The formulas are those of one photo, before
/// class weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
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
    /// is scikit-learn's `f1_score(average="macro")`. With `train.parts`, each part has an F1 of its own, and the parts
    /// count by their share of the labels.
    SoftF1,
    /// Label-distribution-aware margins (Cao et al. 2019, LDAM): cross-entropy in which the logit of the photo's own label is
    /// less by a margin ∝ n^(−1/4), n the training photos of the label.
    Ldam {
        /// The margin of the rarest label.
        #[serde(default = "half")]
        max_margin: f64,
        /// Factor of the logits. The paper's 30 is for a last layer with normalised weights and features; this one has none.
        #[serde(default = "one")]
        scale: f64,
    },
    /// Cross-entropy of logits raised by τ · log of the label's share of the training photos (Menon et al. 2021, "Long-tail
    /// learning via logit adjustment"). Predictions are made from the logits as they are.
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
    /// Symmetric cross-entropy (Wang et al. 2019), for labels that are partly wrong:
    /// α · cross-entropy + β · Σ t · (−A) · (1 − p).
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
    /// For ordered labels (Shi, Cao, Raschka 2021): the head has K − 1 outputs, and σ of the k-th is the probability that the
    /// label is greater than k if it is at least k. The sum of the binary cross-entropies of k up to the label, divided by their
    /// number over the batch.
    Corn,
    /// For ordered labels: the squared earth mover's distance (Hou, Yu, Samaras 2017), Σ_k (P_k − T_k)² of the cumulative sums of
    /// p and t.
    EarthMover,
    /// For ordered labels or the bins of a number (Pan et al. 2018, "Mean-Variance Loss for Deep Age Estimation"):
    /// cross-entropy + λ₁ · ½ (m − y)² + λ₂ · v, m and v the mean and the variance of p over the places 0 to K − 1, y the mean
    /// of t.
    MeanVariance {
        /// λ₁ ≥ 0, the factor of the squared distance of the means; the paper's choice unless said.
        #[serde(default = "fifth")]
        mean: f64,
        /// λ₂ ≥ 0, the factor of the variance; the paper's choice unless said.
        #[serde(default = "twentieth")]
        variance: f64,
    },
    /// For ordered labels or the bins of a number: |m − y|, the distance of the mean place by p from that by t (the
    /// expectation loss of Gao et al. 2018, "Age Estimation Using Expectation of Label Distribution Learning", which adds it
    /// to cross-entropy).
    L1,
    /// The same, squared near 0 as PyTorch's `SmoothL1Loss`: d² / 2β where d = |m − y| < β, elsewhere d − β / 2.
    SmoothL1 {
        /// β > 0, in places.
        #[serde(default = "one")]
        beta: f64,
    },
    /// For labels of which a photo may have several ([`LabelSpec::multi_label`](crate::LabelSpec::multi_label)): the mean over
    /// the labels of −t · log σ(z) − (1 − t) · log σ(−z), PyTorch's `BCEWithLogitsLoss`.
    BinaryCrossEntropy,
    /// The same with a focus for each side and a margin below which a label that is not there counts nothing (Ridnik et al.
    /// 2021, "Asymmetric Loss For Multi-Label Classification"): the mean over the labels of
    /// −t · (1 − p)^γ₊ · log p − (1 − t) · pₘ^γ₋ · log(1 − pₘ), p = σ(z) and pₘ = max(p − m, 0). The gradient is that of the
    /// whole formula, the focus included.
    Asymmetric {
        /// γ₋ ≥ 0, the focus where the label is not there; the paper's choice unless said.
        #[serde(default = "four")]
        gamma_neg: f64,
        /// γ₊ ≥ 0, the focus where it is there; that of the authors' program unless said.
        #[serde(default = "one")]
        gamma_pos: f64,
        /// m, the margin, from 0 to below 1; the paper's choice unless said.
        #[serde(default = "twentieth")]
        clip: f64,
    },
    /// For labels in groups ([`LabelSpec::groups`](crate::LabelSpec::groups)), hierarchical cross-entropy (Bertinetto et al.
    /// 2020, "Making Better Mistakes"): −Σ exp(−α d) · log (P(C) / P(parent of C)) over the photo's label and the groups C around
    /// it, P the sum of p over the labels of C, 1 of all, and d the groups around C, 0 of an outermost one, as in the authors'
    /// program but for a factor. It is a sum of cross-entropies of every level, the label's own with exp(−α d), and with α = 0
    /// cross-entropy itself. Of a photo whose group alone is known it begins at the group: with α = 0 that is −log Σ p over the
    /// labels of the group.
    Hierarchical {
        /// α ≥ 0: the greater, the less does telling labels of one group apart count beside telling groups apart.
        #[serde(default = "half")]
        alpha: f64,
    },
    /// The sum of some of these, each times its factor. Not for `coral` and `corn`, whose outputs mean something else, and not of
    /// both losses of one label a photo and of several.
    Sum(Vec<LossTerm>),
}

/// A part of a sum of losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossTerm {
    /// The loss.
    #[serde(deserialize_with = "crate::names::word_or_table")]
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

fn fifth() -> f64 {
    0.2
}

fn twentieth() -> f64 {
    0.05
}

fn four() -> f64 {
    4.0
}

fn minus_four() -> f64 {
    -4.0
}

impl LossKind {
    /// Focal loss without α.
    pub fn focal(gamma: f64) -> Self {
        Self::Focal {
            gamma,
            alpha: Vec::new(),
        }
    }

    /// Hierarchical cross-entropy as a head of groups has it that says nothing else.
    pub(crate) fn hierarchical() -> Self {
        Self::Hierarchical { alpha: half() }
    }

    /// Whether it is for labels in groups and no others.
    pub(crate) fn needs_groups(&self) -> bool {
        match self {
            Self::Hierarchical { .. } => true,
            Self::Sum(terms) => terms.iter().any(|t| t.kind.needs_groups()),
            _ => false,
        }
    }

    /// Whether a photo of which a group is known and not the label says anything to it.
    pub(crate) fn learns_from_groups(&self) -> bool {
        match self {
            Self::CrossEntropy | Self::Hierarchical { .. } => true,
            Self::Sum(terms) => terms.iter().any(|t| t.kind.learns_from_groups()),
            _ => false,
        }
    }

    /// Whether a head with this loss has an output for each of the K − 1 borders between its labels, instead of one a label.
    pub(crate) fn is_cumulative(&self) -> bool {
        matches!(self, Self::Coral | Self::Corn)
    }

    /// Whether it is for labels of which a photo may have several at once, each with an output and a probability of its own.
    pub(crate) fn is_multi_label(&self) -> bool {
        match self {
            Self::BinaryCrossEntropy | Self::Asymmetric { .. } => true,
            Self::Sum(terms) => terms.iter().any(|t| t.kind.is_multi_label()),
            _ => false,
        }
    }

    /// The outputs of a head of `labels` labels, or of so many bins of a number.
    pub(crate) fn num_outputs(&self, labels: usize) -> usize {
        labels.saturating_sub(usize::from(self.is_cumulative()))
    }

    /// Whether a head of `labels` labels can have it.
    pub(super) fn check(&self, labels: usize) -> Result<(), Fault> {
        let at_least_0 = |v: f64| (0.0..=GREATEST).contains(&v);
        let positive = |v: f64| v > 0.0 && v <= GREATEST;
        // (setting, value, whether it is right, what is expected)
        let checks: Vec<(&str, f64, bool, &str)> = match self {
            Self::CrossEntropy
            | Self::SoftF1
            | Self::Coral
            | Self::Corn
            | Self::EarthMover
            | Self::L1
            | Self::BinaryCrossEntropy => Vec::new(),
            Self::Asymmetric {
                gamma_neg,
                gamma_pos,
                clip,
            } => vec![
                (
                    "asymmetric.gamma_neg",
                    *gamma_neg,
                    at_least_0(*gamma_neg),
                    FROM_0,
                ),
                (
                    "asymmetric.gamma_pos",
                    *gamma_pos,
                    at_least_0(*gamma_pos),
                    FROM_0,
                ),
                (
                    "asymmetric.clip",
                    *clip,
                    (0.0..1.0).contains(clip),
                    "from 0 to below 1",
                ),
            ],
            Self::Hierarchical { alpha } => {
                vec![("hierarchical.alpha", *alpha, at_least_0(*alpha), FROM_0)]
            }
            Self::MeanVariance { mean, variance } => vec![
                ("mean_variance.mean", *mean, at_least_0(*mean), FROM_0),
                (
                    "mean_variance.variance",
                    *variance,
                    at_least_0(*variance),
                    FROM_0,
                ),
            ],
            Self::SmoothL1 { beta } => vec![(
                "smooth_l1.beta",
                *beta,
                positive(*beta),
                "above 0, at most 1000000",
            )],
            Self::Focal { gamma, alpha } => {
                if !alpha.is_empty() && alpha.len() != labels {
                    let expected =
                        format!("{labels}, one a label, or a bin of a head that predicts a number");
                    return fault("loss.focal.alpha", expected, alpha.len());
                }
                let of_labels = alpha
                    .iter()
                    .map(|a| ("focal.alpha", *a, at_least_0(*a), FROM_0));
                [("focal.gamma", *gamma, at_least_0(*gamma), FROM_0)]
                    .into_iter()
                    .chain(of_labels)
                    .collect()
            }
            Self::Ldam {
                max_margin: m,
                scale: s,
            } => vec![
                ("ldam.max_margin", *m, at_least_0(*m), FROM_0),
                ("ldam.scale", *s, positive(*s), "above 0, at most 1000000"),
            ],
            Self::LogitAdjusted { tau } => {
                vec![("logit_adjusted.tau", *tau, at_least_0(*tau), FROM_0)]
            }
            Self::GeneralizedCrossEntropy { q } => {
                let right = *q > 0.0 && *q <= 1.0;
                vec![(
                    "generalized_cross_entropy.q",
                    *q,
                    right,
                    "above 0, at most 1",
                )]
            }
            Self::SymmetricCrossEntropy {
                alpha,
                beta,
                log_zero,
            } => {
                let right = *log_zero < 0.0 && *log_zero >= -GREATEST;
                let below_0 = "below 0, at least -1000000";
                vec![
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
                        right,
                        below_0,
                    ),
                ]
            }
            Self::Sum(terms) => {
                if terms.is_empty() {
                    return fault("loss.sum", "at least one loss", "none");
                }
                let several = |t: &&LossTerm| t.kind.is_multi_label();
                if ![0, terms.len()].contains(&terms.iter().filter(several).count()) {
                    let expected =
                        "losses of one label a photo, or of several at once, not of both";
                    return fault("loss.sum", expected, "both");
                }
                for LossTerm { kind, .. } in terms {
                    if kind.is_cumulative() || matches!(kind, Self::Sum(_)) {
                        let expected =
                            "losses of one output a label: neither coral, corn nor another sum";
                        return fault("loss.sum", expected, format!("{kind:?}"));
                    }
                    kind.check(labels).map_err(|f| Fault {
                        what: format!("loss.sum, {}", f.what),
                        ..f
                    })?;
                }
                let factors = terms.iter().map(|t| t.factor);
                factors
                    .map(|f| ("sum.factor", f, at_least_0(f), FROM_0))
                    .collect()
            }
        };
        match checks.into_iter().find(|(_, _, right, _)| !right) {
            Some((what, value, _, expected)) => fault(
                format!("loss.{what}"),
                format!("a number {expected}"),
                value,
            ),
            None => Ok(()),
        }
    }
}
