//! Whether settings of training are in range and fit each other.

use super::{FineTune, TeacherConfig, TrainConfig};
use crate::backbone::Architecture;
use crate::error::{Error, Result};
use crate::layers::BatchNormMode;
use crate::train::optim::OptimizerKind;

/// Greatest factor, learning rate or norm: far beyond anything of use, and far below what overflows in `f32`.
const GREATEST: f64 = 1e6;
/// Greatest rank of low-rank adaptation: that of the largest layers there are; more would only be a slower full fine-tuning.
const MAX_RANK: usize = 1024;
/// Most memory that batches waiting for a step may take: 1 TiB.
const MAX_QUEUE_MIB: usize = 1 << 20;

impl TrainConfig {
    pub(super) fn validate(&self, backbone: Architecture) -> Result<()> {
        let fail = |what: &str, expected: &str, found: String| {
            Err(Error::Invalid {
                what: format!("train.{what}"),
                expected: expected.into(),
                found,
            })
        };
        if self.epochs == 0 || self.epochs > 100_000 {
            return fail("epochs", "from 1 to 100000", self.epochs.to_string());
        }
        if self.batch < 2 || self.batch > 65_536 {
            return fail("batch", "from 2 to 65536 photos", self.batch.to_string());
        }
        if !(1..=MAX_QUEUE_MIB).contains(&self.queue_mib) {
            let expected = format!("from 1 to {MAX_QUEUE_MIB} MiB");
            return fail("queue_mib", &expected, self.queue_mib.to_string());
        }
        let stages = backbone.stages().len();
        if let FineTune::LastStages(n) = self.fine_tune
            && !(1..=stages).contains(&n)
        {
            return fail(
                "fine_tune.last_stages",
                &format!("from 1 to {stages}, the stages of {backbone}"),
                n.to_string(),
            );
        }
        if let FineTune::Matching(patterns) = &self.fine_tune
            && patterns.is_empty()
        {
            return fail(
                "fine_tune.matching",
                "at least one pattern of tensor names",
                "none".into(),
            );
        }
        if let BatchNormMode::FrozenStages(n) = self.batch_norm
            && !(1..=stages).contains(&n)
        {
            return fail(
                "batch_norm.frozen_stages",
                &format!("from 1 to {stages}, the stages of {backbone}"),
                n.to_string(),
            );
        }
        if let Some(lora) = &self.lora {
            if !(1..=MAX_RANK).contains(&lora.rank) || lora.weights.is_empty() {
                return fail(
                    "lora",
                    &format!("a rank from 1 to {MAX_RANK} and at least one pattern of weights"),
                    format!("rank {}, weights {:?}", lora.rank, lora.weights),
                );
            }
            if !(0.0..=GREATEST).contains(&lora.alpha) {
                let expected = "a number of at least 0, at most 1000000";
                return fail("lora.alpha", expected, lora.alpha.to_string());
            }
            if let Some((widest, most)) = lora.widest(&backbone.shapes(3)?)
                && lora.rank > most
            {
                return fail(
                    "lora.rank",
                    &format!(
                        "at most {most}, the lesser side of `{widest}`, the widest layer it adapts"
                    ),
                    lora.rank.to_string(),
                );
            }
            if self.ema > 0.0 || self.unfreeze_every > 0 {
                return fail(
                    "lora",
                    "neither `ema` nor `unfreeze_every` beside it",
                    format!("ema {}, unfreeze_every {}", self.ema, self.unfreeze_every),
                );
            }
        }
        if self.parts == 0 || self.batch / self.parts.max(1) < 2 {
            return fail(
                "parts",
                &format!(
                    "from 1 to {}, so that each part has two photos",
                    self.batch / 2
                ),
                self.parts.to_string(),
            );
        }
        if self.average_last > self.epochs {
            return fail(
                "average_last",
                &format!("at most {}, the number of epochs", self.epochs),
                self.average_last.to_string(),
            );
        }
        if !(self.lr_decay > 0.0 && self.lr_decay <= 1.0) {
            return fail(
                "lr_decay",
                "a number above 0, at most 1",
                self.lr_decay.to_string(),
            );
        }
        if let OptimizerKind::Sgd { momentum } = self.optimizer
            && !(0.0..1.0).contains(&momentum)
        {
            return fail(
                "optimizer.sgd.momentum",
                "a number from 0 to below 1",
                momentum.to_string(),
            );
        }
        for (what, v) in [
            ("drop_path", self.drop_path),
            ("warm_up", self.warm_up),
            ("final_lr", self.final_lr),
            ("ema", self.ema),
        ] {
            if !(0.0..1.0).contains(&v) {
                return fail(what, "a number from 0 to below 1", v.to_string());
            }
        }
        for (what, v) in [
            ("weight_decay", self.weight_decay),
            ("clip", self.clip),
            ("mix_up", self.mix_up),
        ] {
            if !(0.0..=GREATEST).contains(&v) {
                return fail(
                    what,
                    "a number of at least 0, at most 1000000",
                    v.to_string(),
                );
            }
        }
        // Rates at which training diverges are many, and it says so when it does.
        for (what, v) in [
            ("lr_backbone", self.lr_backbone),
            ("lr_heads", self.lr_heads),
        ] {
            if !(0.0..=1e30).contains(&v) {
                return fail(what, "a number of at least 0, at most 1e30", v.to_string());
            }
        }
        for (what, most, n) in [
            ("feature_views", 1000, self.feature_views),
            ("report_gradients", 100_000, self.report_gradients),
        ] {
            if n > most {
                return fail(what, &format!("at most {most}"), n.to_string());
            }
        }
        self.augment.validate()?;
        self.teacher.iter().try_for_each(TeacherConfig::validate)?;
        self.validate_features()?;
        self.validate_balancing()?;
        self.validate_plugged(backbone)?;
        self.split.validate()
    }
}
