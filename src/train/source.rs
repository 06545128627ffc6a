//! Where the features of a step come from: photos, or features of a frozen backbone computed once.

use super::config::{Config, FineTune};
use super::dataset::Dataset;
use super::evaluate::{Queue, features};
use super::trainer::Event;
use crate::error::Result;
use crate::model::{ModelSpec, MultiTaskModel};
use candle_core::Tensor;

/// Where a step's features come from.
pub(super) enum Source {
    /// Photos, loaded and run through the backbone each time.
    Photos,
    /// Features of a frozen backbone, computed once; a row for each of `train`, and of `valid`.
    Kept {
        train: Tensor,
        valid: Option<Tensor>,
    },
}

impl Source {
    /// Features are kept if the backbone is frozen and nothing random touches the photos.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        config: &Config,
        spec: &ModelSpec,
        model: &MultiTaskModel,
        dataset: &Dataset,
        train: &[usize],
        valid: &[usize],
        queue: Queue,
        tell: &mut dyn FnMut(&Event),
    ) -> Result<Self> {
        let t = &config.train;
        let fixed = t.fine_tune == FineTune::Frozen
            && t.unfreeze_every == 0
            && t.lora.is_none()
            && t.augment == super::augment::AugmentConfig::off()
            && t.mix_up == 0.0;
        if !fixed {
            return Ok(Self::Photos);
        }
        let of = train.len() + valid.len();
        let kept = features(model, &spec.input, dataset, train, queue, &mut |done| {
            tell(&Event::Features { done, of })
        })?;
        let mut later = |done| {
            tell(&Event::Features {
                done: train.len() + done,
                of,
            })
        };
        let valid = match valid {
            [] => None,
            valid => Some(features(
                model,
                &spec.input,
                dataset,
                valid,
                queue,
                &mut later,
            )?),
        };
        Ok(Self::Kept { train: kept, valid })
    }
}
