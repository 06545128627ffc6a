//! Which rules of mixing a configuration has, and whether they fit together.

use super::TrainConfig;
use crate::error::{Error, Result};
use crate::model::ModelSpec;
use crate::train::mix::{ALPHA, MixKind, MixRule, Partner};

impl TrainConfig {
    /// The rules of mixing: those of `mix`, or else `mix_up` in every step.
    pub(crate) fn mixes(&self) -> Vec<MixRule> {
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
        self.mix.iter().try_for_each(|rule| rule.validate(spec))?;
        let sum: f64 = self.mix.iter().map(|rule| rule.probability).sum();
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
