//! What an epoch tells of its heads' balance.

use serde::{Deserialize, Serialize};

/// A mean that grows number by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    /// Takes a number in, if there is one.
    pub(super) fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    /// The mean; `None` of nothing.
    pub(super) fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// Do the heads fight? The gradients of the heads' losses, times their `weight`, over all trained variables of the backbone:
/// means over the steps of an epoch they were measured in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradientReport {
    /// Norm of each head's gradient. `None` where no measured batch had the head's label.
    pub norms: Vec<Option<f64>>,
    /// Cosine of the gradients of each pair of heads, in the order (0, 1), (0, 2), … (1, 2), …: 1 if they pull the same way, −1
    /// if against each other, about 0 if they have nothing to do with each other. `None` where no measured batch had a gradient
    /// of both.
    pub cosines: Vec<Option<f64>>,
}

/// The pairs of so many heads, in the order of [`GradientReport::cosines`].
pub(in crate::train) fn pairs(heads: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..heads).flat_map(move |a| (a + 1..heads).map(move |b| (a, b)))
}

impl GradientReport {
    /// The pairs of `heads`, each with its cosine.
    pub fn pairs<'a>(
        &'a self,
        heads: &'a [String],
    ) -> impl Iterator<Item = (&'a str, &'a str, Option<f64>)> {
        let names = pairs(heads.len()).map(|(a, b)| (heads[a].as_str(), heads[b].as_str()));
        names.zip(&self.cosines).map(|((a, b), c)| (a, b, *c))
    }
}
