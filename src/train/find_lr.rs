//! A search for the learning rate: it grows from step to step, and the loss tells where it is too small and where too large
//! (Smith 2015, "Cyclical Learning Rates for Training Neural Networks").

use super::config::Config;
use super::event::Event;
use super::ranks::Group;
use super::run::{Run, check};
use super::run_folder::RunFolder;
use super::step::{At, step};
use crate::data::dataset::Dataset;
use crate::error::{Error, Result};
use crate::io::table::write_rows;
use crate::model_file::Tensors;
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// The factors of the configured learning rates, from the first step to the last.
const FACTORS: [f64; 2] = [1e-4, 1e2];

/// Share of the past in the smoothed loss.
const SMOOTHING: f64 = 0.9;

/// One step of the search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Factor of the configured learning rates.
    pub factor: f64,
    /// The backbone's learning rate.
    pub lr_backbone: f64,
    /// The heads' learning rate.
    pub lr_heads: f64,
    /// The joint loss of the step.
    pub loss: f64,
    /// Its exponential average, corrected for its start as Adam's moments are.
    pub smoothed: f64,
}

/// Trains for at most `steps` steps with growing learning rates, until the smoothed loss is four times its least; `folder` gets
/// `config.toml`, `split.csv` and `lr.csv`, a row a step. The weights are thrown away.
///
/// # Errors
/// As [`Trainer::run`](super::Trainer::run).
pub fn find_lr(
    config: &Config,
    weights: Tensors,
    dataset: &Dataset,
    folder: &Path,
    steps: usize,
    stop: &AtomicBool,
    on_event: &mut dyn FnMut(&Event),
) -> Result<Vec<Trial>> {
    check(config, dataset, &[])?;
    let folder = RunFolder::create(folder, false)?;
    let group = Group::alone();
    let path = folder.path("lr.csv");
    let mut run = Run::new(config, weights, dataset, &[], (folder, false), &group)?;
    if !run.prepare(stop, on_event)? {
        return Ok(Vec::new());
    }
    let [from, to] = FACTORS;
    let (mut trials, mut average, mut least) = (Vec::new(), 0.0, f64::INFINITY);
    let rates = &config.train;
    let of_epoch = run.batches.steps();
    'search: for epoch in 0..steps.div_ceil(of_epoch) {
        let mut batches = run.batches.epoch(epoch, 0)?;
        for number in 0..of_epoch.min(steps - trials.len()) {
            if stop.load(Ordering::Relaxed) {
                break 'search;
            }
            let done = trials.len();
            let factor = from * (to / from).powf(done as f64 / (steps - 1).max(1) as f64);
            let batch = batches.load(number)?;
            let (photos, balancer) = (batch.photos, &mut run.progress.balancing);
            let at = At {
                epoch,
                step: done,
                lr: factor,
            };
            let loss = match step(
                &mut run.network,
                &run.objective,
                balancer,
                batch,
                at,
                &group,
            ) {
                Ok(loss) => loss,
                // Where the search was bound to end.
                Err(Error::NotFinite { .. }) => break 'search,
                Err(e) => return Err(e),
            };
            average = SMOOTHING * average + (1.0 - SMOOTHING) * loss;
            let smoothed = average / (1.0 - SMOOTHING.powi(done as i32 + 1));
            trials.push(Trial {
                factor,
                lr_backbone: factor * rates.lr_backbone,
                lr_heads: factor * rates.lr_heads,
                loss,
                smoothed,
            });
            on_event(&Event::Step {
                epoch: 1,
                step: done + 1,
                steps,
                photos,
                loss,
            });
            least = f64::min(least, smoothed);
            if smoothed > 4.0 * least {
                break 'search;
            }
        }
    }
    write_rows(&path, &trials)?;
    Ok(trials)
}

/// The factor that may be tried: a tenth of the one at which the smoothed loss is least, after the first tenth of the steps.
pub fn suggestion(trials: &[Trial]) -> Option<f64> {
    let late = trials.get(trials.len() / 10..)?;
    let best = late
        .iter()
        .min_by(|a, b| a.smoothed.total_cmp(&b.smoothed))?;
    Some(best.factor / 10.0)
}
