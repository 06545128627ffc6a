//! What a network of candle's, plugged in as a backbone, cannot do.

use super::{FineTune, TrainConfig};
use crate::backbone::adapter::Training;
use crate::backbone::{Architecture, SavedActivations};
use crate::error::{Error, Result};
use crate::layers::BatchNormMode;
use crate::train::balancing::Balancing;
use crate::train::optim::variables::is_buffer;

/// A mode as it is set.
fn name(mode: BatchNormMode) -> String {
    match mode {
        BatchNormMode::Train => "`train`".into(),
        BatchNormMode::Sync => "`sync`".into(),
        BatchNormMode::Frozen => "`frozen`".into(),
        BatchNormMode::FrozenStages(n) => format!("`frozen_stages = {n}`"),
    }
}

impl TrainConfig {
    pub(super) fn validate_plugged(&self, backbone: Architecture) -> Result<()> {
        let Some(entry) = backbone.entry() else {
            return Ok(());
        };
        let fail = |what: &str, expected: String, found: String| {
            Err(Error::Invalid {
                what: format!("train.{what}"),
                expected,
                found,
            })
        };
        if self.drop_path != 0.0 {
            let expected = format!("0 with {backbone}, whose network has no drop-path");
            return fail("drop_path", expected, self.drop_path.to_string());
        }
        if self.stays_frozen() {
            return Ok(());
        }
        if self.activations != SavedActivations::F32 {
            let expected = format!("`f32` with {backbone}, whose graph is candle's");
            return fail("activations", expected, "`bf16`".into());
        }
        let reason = match entry.training {
            Training::Full if self.batch_norm == BatchNormMode::Frozen => return Ok(()),
            // Its batch norms take the batch's statistics, all of them, and by a momentum of their own.
            Training::Full if entry.build.knows_mode() => {
                if !backbone.shapes(3)?.keys().any(|name| is_buffer(name)) {
                    return Ok(());
                }
                let own = |n: &str| {
                    format!(
                        "{n} with {backbone}, whose batch norms are its own, or train.batch_norm = \"frozen\""
                    )
                };
                if self.batch_norm != BatchNormMode::Train {
                    return fail("batch_norm", own("`train`"), name(self.batch_norm));
                }
                if self.average_last > 0 {
                    return fail("average_last", own("0"), self.average_last.to_string());
                }
                if matches!(self.balancing, Balancing::Famo { .. }) {
                    return fail("balancing", own("another"), "`famo`".into());
                }
                return Ok(());
            }
            Training::Full => {
                return if backbone.shapes(3)?.keys().any(|name| is_buffer(name)) {
                    fail(
                        "batch_norm",
                        format!(
                            "`frozen` with {backbone}, whose batch norms always use the running statistics"
                        ),
                        name(self.batch_norm),
                    )
                } else {
                    Ok(())
                };
            }
            Training::NoGradient(first) => {
                format!("no gradient reaches `{first}` and others of its variables")
            }
            Training::FoldedWeights => {
                "its weights are folded when it is built, so that a step changes nothing".into()
            }
        };
        let found = match (&self.fine_tune, &self.lora, self.unfreeze_every) {
            (FineTune::Frozen, Some(_), _) => "`frozen` with train.lora".to_string(),
            (FineTune::Frozen, None, n) => format!("`frozen` with train.unfreeze_every={n}"),
            (FineTune::Full, ..) => "`full`".into(),
            (FineTune::LastStages(n), ..) => format!("`last_stages = {n}`"),
            (FineTune::Matching(patterns), ..) => format!("`matching = {patterns:?}`"),
        };
        let expected = format!(
            "`frozen` alone with {backbone}: candle's network serves as a fixed feature extractor only, for {reason}"
        );
        fail("fine_tune", expected, found)
    }
}
