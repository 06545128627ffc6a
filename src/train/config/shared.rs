//! Settings of balancing, and those that need the heads' gradients on the backbone, which is all that heads share.

use super::TrainConfig;
use crate::error::{Error, Result};
use crate::train::balancing::Balancing;

impl TrainConfig {
    pub(super) fn validate_balancing(&self) -> Result<()> {
        let fail = |what: &str, expected: &str, found: String| {
            Err(Error::Invalid {
                what: format!("train.{what}"),
                expected: expected.into(),
                found,
            })
        };
        self.balancing.validate()?;
        if let Balancing::Famo { .. } = self.balancing
            && self.parts > 1
        {
            let expected = "1 with train.balancing.famo, which computes the losses of a whole batch again after its step";
            return fail("parts", expected, self.parts.to_string());
        }
        match self.needs_shared() {
            Some(what) if self.stays_frozen() => {
                fail(what, SHARED, "train.fine_tune=frozen alone".into())
            }
            _ => Ok(()),
        }
    }

    /// The setting that needs the heads' gradients on the backbone, if there is one.
    pub(in crate::train) fn needs_shared(&self) -> Option<&'static str> {
        match (self.balancing, self.report_gradients) {
            (Balancing::PcGrad, _) => Some("balancing=pc_grad"),
            (_, 1..) => Some("report_gradients"),
            _ => None,
        }
    }

    /// Whether the heads' gradients are measured in a step of so many an epoch: `report_gradients` steps, spread evenly.
    pub(in crate::train) fn measures(&self, step: usize, steps: usize) -> bool {
        step * self.report_gradients % steps.max(1) < self.report_gradients
    }
}

/// What heads can only pull at if it is trained.
pub(in crate::train) const SHARED: &str = "a backbone of which something is trained, in train.fine_tune, train.unfreeze_every or train.lora: heads share nothing else";
