//! How photos are mixed: `[[train.mix]]`.

use super::TrainConfig;
use crate::error::{Error, Result};
use crate::model::ModelSpec;
use crate::nearest::nearest;
use serde::{Deserialize, Serialize};

/// A way of mixing photos, and the share of the steps it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixRule {
    /// How two photos become one.
    pub kind: MixKind,
    /// Whom a photo is mixed with.
    #[serde(default)]
    pub partner: Partner,
    /// Probability that a step mixes in this way; in what the rules leave of 1, photos stay as they are.
    #[serde(default = "one")]
    pub probability: f64,
}

/// How two photos become one. λ is what the photo keeps of itself, in its pixels and in the targets of all heads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MixKind {
    /// λ·x + (1 − λ)·partner, λ from Beta(α, α) (Zhang et al. 2018).
    MixUp {
        /// α > 0.
        #[serde(default = "fifth")]
        alpha: f64,
    },
    /// The same of the features of a frozen backbone, where they are computed once and kept (manifold mix-up, Verma et al. 2019,
    /// before the heads).
    FeatureMixUp {
        /// α > 0.
        #[serde(default = "fifth")]
        alpha: f64,
    },
    /// A rectangle of the partner is pasted (CutMix, Yun et al. 2019): of 1 − λ of the photo's area, λ from Beta(α, α), its
    /// centre anywhere. What lies outside the photo is cut off, and λ is then what is really left.
    CutMix {
        /// α > 0.
        #[serde(default = "one")]
        alpha: f64,
    },
    /// The partner's left, right, upper or lower half is pasted.
    HalfPaste,
}

/// Whom a photo is mixed with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Partner {
    /// Any photo of the batch: the one opposite in its random order.
    #[default]
    Any,
    /// A photo of the batch of the same final class. One without such a partner, or without a label of every head, stays as it
    /// is.
    SameClass,
    /// A photo of the batch with the same label of this head.
    SameLabel(String),
    /// A photo of the training split of one of these final classes, by their names as in `worn / female / 60_and_over`. It is
    /// loaded for this.
    Classes(Vec<String>),
}

/// The α of Beta(α, α) from which λ can be drawn: below, nearly all are 0 or 1, above, nearly all one half.
const ALPHA: std::ops::RangeInclusive<f64> = 0.001..=1000.0;

fn one() -> f64 {
    1.0
}

fn fifth() -> f64 {
    0.2
}

impl MixKind {
    /// α of the distribution of λ, if it is drawn.
    pub fn alpha(self) -> Option<f64> {
        match self {
            Self::MixUp { alpha } | Self::FeatureMixUp { alpha } | Self::CutMix { alpha } => {
                Some(alpha)
            }
            Self::HalfPaste => None,
        }
    }
}

impl TrainConfig {
    /// The ways of mixing: those of `mix`, or else `mix_up` in every step.
    pub fn mixes(&self) -> Vec<MixRule> {
        if self.mix.is_empty() && self.mix_up > 0.0 {
            let kind = MixKind::MixUp { alpha: self.mix_up };
            return vec![MixRule {
                kind,
                partner: Partner::Any,
                probability: 1.0,
            }];
        }
        self.mix.clone()
    }

    /// Whether photos are mixed, so that none is the same twice.
    pub(super) fn mixes_photos(&self) -> bool {
        let of_photos = |m: &MixRule| !matches!(m.kind, MixKind::FeatureMixUp { .. });
        self.mixes().iter().any(of_photos)
    }

    pub(super) fn validate_mixes(&self, spec: &ModelSpec) -> Result<()> {
        let fail = |what: &str, expected: String, found: String| {
            Err(Error::Invalid {
                what: format!("train.{what}"),
                expected,
                found,
            })
        };
        if self.mix_off > self.epochs {
            let expected = format!("at most {}, the number of epochs", self.epochs);
            return fail("mix_off", expected, self.mix_off.to_string());
        }
        if self.mix_up != 0.0 && !ALPHA.contains(&self.mix_up) {
            let expected = "0, or a number from 0.001 to 1000".into();
            return fail("mix_up", expected, self.mix_up.to_string());
        }
        let mut sum = 0.0;
        for rule in &self.mix {
            if let Some(alpha) = rule.kind.alpha()
                && !ALPHA.contains(&alpha)
            {
                let expected = "a number from 0.001 to 1000".into();
                return fail("mix, alpha", expected, alpha.to_string());
            }
            if !(rule.probability > 0.0 && rule.probability <= 1.0) {
                let expected = "a number above 0, at most 1".into();
                return fail("mix, probability", expected, rule.probability.to_string());
            }
            sum += rule.probability;
            match &rule.partner {
                Partner::Any | Partner::SameClass => {}
                Partner::SameLabel(head) => {
                    spec.head_index(head)?;
                }
                Partner::Classes(classes) => {
                    let names = spec.taxonomy()?.class_names();
                    if classes.is_empty() {
                        let expected = "at least one final class".into();
                        return fail("mix, partner.classes", expected, "none".into());
                    }
                    if let Some(wrong) = classes.iter().find(|c| !names.contains(c)) {
                        let like = nearest(wrong, &names).unwrap_or(&names[0]);
                        let expected = format!("names of final classes, such as `{like}`");
                        return fail("mix, partner.classes", expected, format!("`{wrong}`"));
                    }
                }
            }
        }
        // Thirds add up to 1 but for rounding.
        if sum > 1.0 + 1e-9 {
            let expected = "probabilities of together at most 1".into();
            return fail("mix", expected, sum.to_string());
        }
        let of_features = self
            .mix
            .iter()
            .any(|m| matches!(m.kind, MixKind::FeatureMixUp { .. }));
        if of_features && !self.keeps_features() {
            let expected = "with feature_mix_up, features that are kept: train.fine_tune=frozen, train.augment.flip=0 and no other augmentation (or train.feature_views of 2 or more), and no other kind of mixing";
            return fail(
                "mix",
                expected.into(),
                "features that are computed anew in every epoch".into(),
            );
        }
        Ok(())
    }
}
