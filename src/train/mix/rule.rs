//! The rules of mixing: `[[train.mix]]`.

use crate::error::{Error, Result};
use crate::model::ModelSpec;
use crate::nearest::nearest;
use serde::{Deserialize, Serialize};

/// A way of mixing photos, and the share of the steps it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixRule {
    /// How two photos become one.
    #[serde(deserialize_with = "crate::names::word_or_table")]
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
#[non_exhaustive]
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
#[non_exhaustive]
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
pub(in crate::train) const ALPHA: std::ops::RangeInclusive<f64> = 0.001..=1000.0;

fn one() -> f64 {
    1.0
}

fn fifth() -> f64 {
    0.2
}

impl MixKind {
    /// α of the distribution of λ, if it is drawn.
    pub(crate) fn alpha(self) -> Option<f64> {
        match self {
            Self::MixUp { alpha } | Self::FeatureMixUp { alpha } | Self::CutMix { alpha } => {
                Some(alpha)
            }
            Self::HalfPaste => None,
        }
    }
}

impl MixRule {
    /// Checks it against the heads there are.
    ///
    /// # Errors
    /// [`Error::UnknownName`] or [`Error::Invalid`] naming the setting.
    pub(in crate::train) fn validate(&self, spec: &ModelSpec) -> Result<()> {
        let fail = |what: &str, expected: String, found: String| {
            Err(Error::Invalid {
                what: format!("train.mix, {what}"),
                expected,
                found,
            })
        };
        if let Some(alpha) = self.kind.alpha()
            && !ALPHA.contains(&alpha)
        {
            let expected = "a number from 0.001 to 1000".into();
            return fail("alpha", expected, alpha.to_string());
        }
        if !(self.probability > 0.0 && self.probability <= 1.0) {
            let expected = "a number above 0, at most 1".into();
            return fail("probability", expected, self.probability.to_string());
        }
        let is_of_classes = matches!(self.partner, Partner::SameClass | Partner::Classes(_));
        if is_of_classes && !spec.taxonomy()?.has_classes() {
            let expected = "no partner by final class, of which there is none".into();
            let found = "a model with only heads of several labels at once".into();
            return fail("partner", expected, found);
        }
        match &self.partner {
            Partner::Any | Partner::SameClass => {}
            Partner::SameLabel(head) => {
                spec.single_label_head(head, "train.mix, partner.same_label")?;
            }
            Partner::Classes(classes) => {
                let names = spec.taxonomy()?.class_names();
                if classes.is_empty() {
                    let expected = "at least one final class".into();
                    return fail("partner.classes", expected, "none".into());
                }
                if let Some(wrong) = classes.iter().find(|c| !names.contains(c)) {
                    let like = nearest(wrong, &names).unwrap_or(&names[0]);
                    let expected = format!("names of final classes, such as `{like}`");
                    return fail("partner.classes", expected, format!("`{wrong}`"));
                }
            }
        }
        Ok(())
    }
}
