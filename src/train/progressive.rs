//! Progressive resizing: small photos first, which take less time, and whole ones at the end.
//!
//! As in fast.ai's courses (Howard 2018) and, with growing regularisation, in EfficientNetV2 (Tan and Le 2021, arXiv 2104.00298).

use super::config::TrainConfig;
use crate::backbone::Architecture;
use crate::error::{Error, Result};
use crate::model::{Layout, ModelSpec};

/// Sides are multiples of this, unless they are whole.
const STEP: f64 = 16.0;
/// No side becomes less than this.
const LEAST: usize = 32;

impl TrainConfig {
    /// `[height, width]` of the photos of an epoch, where those of the last ones are `whole`: the sides grow evenly over the first
    /// two thirds of the epochs.
    pub(crate) fn size_of_epoch(&self, whole: [usize; 2], epoch: usize) -> [usize; 2] {
        // The last epoch is whole in any case.
        let growing = (2 * self.epochs)
            .div_ceil(3)
            .min(self.epochs.saturating_sub(1));
        if self.first_size >= 1.0 || epoch >= growing {
            return whole;
        }
        let grown = epoch as f64 / growing as f64;
        let share = self.first_size + (1.0 - self.first_size) * grown;
        whole.map(|side| {
            let small = ((side as f64 * share / STEP).round() * STEP) as usize;
            small.max(LEAST).min(side)
        })
    }

    /// Whether the network takes photos of each epoch's size.
    pub(super) fn validate_progressive(&self, spec: &ModelSpec) -> Result<()> {
        let fail = |expected: &str, found: String| {
            Err(Error::Invalid {
                what: "train.first_size".into(),
                expected: expected.into(),
                found,
            })
        };
        let share = self.first_size;
        if !(share > 0.0 && share <= 1.0) {
            return fail("a number above 0, at most 1", share.to_string());
        }
        if share == 1.0 {
            return Ok(());
        }
        if self.keeps_features() {
            let found = "features that are computed once and kept".to_string();
            return fail("1 where the backbone is frozen", found);
        }
        if Layout::of(spec)?.has_maps() {
            let found = "heads that pool whole maps, which are of one size".to_string();
            return fail("1 with such heads", found);
        }
        let fits = |architecture: Architecture| {
            let mut sizes = (0..self.epochs).map(|e| self.size_of_epoch(spec.input.size, e));
            sizes.try_for_each(|size| architecture.check_size(size))
        };
        fits(spec.backbone).or_else(|e| fail("1 with this backbone", e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use crate::train::TrainConfig;

    #[test]
    fn sides_grow_evenly_over_two_thirds_of_the_epochs_and_are_never_larger_than_whole() {
        let config = |first_size, epochs| TrainConfig {
            first_size,
            epochs,
            ..TrainConfig::default()
        };
        let sizes = |config: TrainConfig, whole| {
            let all = (0..config.epochs).map(|e| config.size_of_epoch(whole, e));
            all.collect::<Vec<_>>()
        };
        assert_eq!(
            sizes(config(0.5, 6), [192, 144]),
            [
                [96, 80],
                [128, 96],
                [144, 112],
                [176, 128],
                [192, 144],
                [192, 144]
            ]
        );
        assert_eq!(sizes(config(1.0, 3), [192, 144]), [[192, 144]; 3]);
        assert_eq!(sizes(config(0.1, 1), [192, 144]), [[192, 144]]);
        assert_eq!(sizes(config(0.5, 2), [192, 144]), [[96, 80], [192, 144]]);
        // Odd sides and those that are small already stay within what they are at the end.
        assert_eq!(
            sizes(config(0.1, 3), [33, 20]),
            [[32, 20], [32, 20], [33, 20]]
        );
    }
}
