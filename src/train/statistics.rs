//! The statistics of batch normalisation under averaged weights: averages of statistics are not those of any weights.

use super::build::model;
use super::mixing::Batch;
use super::optim::variables::{Variables, is_buffer};
use super::source::Source;
use super::trainer::Run;
use crate::error::Result;
use crate::layers::{BatchNormMode, Mode};
use crate::model_file::Tensors;

impl Run<'_> {
    /// `averaged` with statistics found anew: the mean over one more pass through the photos of `epoch`, as augmented there, of each
    /// batch's statistics (Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima"; PyTorch's `update_bn`). Nothing is mixed or
    /// dropped. As it is where training does not use the batches' statistics.
    pub(super) fn with_new_statistics(&self, epoch: usize, averaged: Tensors) -> Result<Tensors> {
        let batch_norm = self.config.train.batch_norm;
        let none = batch_norm == BatchNormMode::Frozen
            || matches!(self.source, Source::Kept(_))
            || !averaged.keys().any(|name| is_buffer(name));
        if none {
            return Ok(averaged);
        }
        let plan = self.plan.clone();
        let variables = Variables::new(
            averaged,
            self.config.train.seed,
            move |name| plan.is_trained(name, epoch),
            |_| false,
        );
        let mut still = self.config.clone();
        still.train.drop_path = 0.0;
        let mut model = model(&still, &self.spec, &variables)?;
        let batches = self.batches(epoch).into_iter().map(Batch::unmixed);
        let batches: Vec<Batch> = batches.collect();
        let mut loader = self.loader(epoch, &batches, 0)?;
        let mode = Mode::Train { batch_norm, key: 0 };
        for (i, batch) in batches.iter().enumerate() {
            let (images, _) = self.inputs(epoch, i, batch, loader.as_mut())?;
            // The share that makes a mean of all batches so far.
            model.set_momentum(Some(1.0 / (i + 1) as f64));
            model.features(&images, mode)?;
        }
        variables.snapshot()
    }
}
