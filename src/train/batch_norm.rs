//! The statistics of batch normalisation under averaged weights: averages of statistics are not those of any weights.

use super::batches::{Batches, Inputs};
use super::network::{Network, model};
use super::optim::variables::{Variables, is_buffer};
use crate::error::Result;
use crate::layers::{BatchNormMode, Mode};
use crate::model_file::Tensors;

/// `averaged` with statistics found anew: the mean over one more pass through the photos of `epoch`, as augmented there, of each
/// batch's statistics (Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima"; PyTorch's `update_bn`). Nothing is mixed
/// or dropped. As it is where training does not use the batches' statistics.
///
/// # Errors
/// If a photo cannot be read.
pub(super) fn with_new_statistics(
    network: &Network,
    batches: &Batches,
    epoch: usize,
    averaged: Tensors,
) -> Result<Tensors> {
    let config = &network.config.train;
    let none = config.batch_norm == BatchNormMode::Frozen
        || config.stays_frozen() && !network.spec.has_own_stages()
        || batches.kept.is_some()
        || !averaged.keys().any(|name| is_buffer(name));
    if none {
        return Ok(averaged);
    }
    let groups = network.groups.clone();
    let variables = Variables::new(
        averaged,
        config.seed,
        move |name| groups.is_trained(name, epoch),
        |_| false,
    );
    let mut model = model(network.config, &network.spec, &variables, 0.0)?;
    let mode = Mode::Train {
        batch_norm: config.batch_norm,
        key: 0,
    };
    let mut loaded = batches.unmixed(epoch)?;
    for step in 0..batches.steps() {
        if let Inputs::Photos(photos) = loaded.load(step)?.inputs {
            // The share that makes a mean of all batches so far.
            model.set_momentum(Some(1.0 / (step + 1) as f64));
            model.features(&photos, mode)?;
        }
    }
    variables.snapshot()
}
