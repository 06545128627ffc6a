//! Which configurations compute a frozen backbone's features once and keep them.

use super::{FineTune, TrainConfig};
use crate::data::augment::AugmentConfig;
use crate::error::{Error, Result};
use crate::model::ModelSpec;

impl TrainConfig {
    /// Whether features are computed once and kept: the backbone is frozen, photos are not mixed (features may be), and either
    /// nothing random touches them or it does so in fixed views.
    pub(crate) fn keeps_features(&self) -> bool {
        let fixed = self.augment == AugmentConfig::off() || self.feature_views > 1;
        self.stays_frozen() && !self.mixes_photos() && fixed
    }

    /// Whether nothing of the backbone is ever trained.
    pub(crate) fn stays_frozen(&self) -> bool {
        self.fine_tune == FineTune::Frozen && self.unfreeze_every == 0 && self.lora.is_none()
    }

    /// Stages that a head has for itself see photos at every step.
    pub(super) fn validate_own_stages(&self, spec: &ModelSpec) -> Result<()> {
        let own = spec.heads.iter().find(|h| h.layers.own_stages > 0);
        match own.filter(|_| self.keeps_features()) {
            Some(head) => Err(Error::Invalid {
                what: format!("head `{}`, own_stages beside train.fine_tune=frozen", head.name),
                expected: "photos that pass through its stages at every step: train.augment.flip=0.5 with \
                           train.feature_views=1, or train.mix_up above 0"
                    .into(),
                found: "features that are computed once and kept".into(),
            }),
            None => Ok(()),
        }
    }

    /// Settings about kept features are of use only where features are kept.
    pub(super) fn validate_features(&self) -> Result<()> {
        let fail = |what: &str, expected: &str, found: &str| {
            Err(Error::Invalid {
                what: format!("train.{what}"),
                expected: expected.into(),
                found: found.into(),
            })
        };
        if self.feature_views > 1 && self.augment == AugmentConfig::off() {
            return fail(
                "feature_views",
                "0 or 1 where train.augment changes nothing",
                &self.feature_views.to_string(),
            );
        }
        let what = match (&self.feature_cache, self.feature_views) {
            (Some(_), _) => "feature_cache",
            (None, 2..) => "feature_views",
            _ => return Ok(()),
        };
        if !self.stays_frozen() {
            return fail(
                what,
                "train.fine_tune=frozen with it, and neither unfreeze_every nor lora: only a frozen backbone's features stay the same",
                "a backbone that is trained",
            );
        }
        if self.mixes_photos() {
            let found = if self.mix.is_empty() {
                format!("train.mix_up={}", self.mix_up)
            } else {
                "train.mix with other kinds".into()
            };
            return fail(
                what,
                "train.mix_up=0 with it, or train.mix with feature_mix_up alone: mixed photos are new ones at every step",
                &found,
            );
        }
        if !self.keeps_features() {
            return fail(
                what,
                "train.augment.flip=0 and no other augmentation with it, or train.feature_views of 2 or more to draw fixed views",
                "photos that are augmented anew in every epoch",
            );
        }
        Ok(())
    }
}
