//! A search for the learning rate: it grows from step to step, and the loss tells where it is too small and where too large (Smith
//! 2015, "Cyclical Learning Rates for Training Neural Networks").

use super::config::Config;
use super::run::RunFolder;
use super::trainer::{Event, Run};
use crate::data::dataset::Dataset;
use crate::error::{Error, Result, write_atomically};
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
/// As [`train`](super::trainer::train).
pub fn find_lr(
    config: &Config,
    weights: Tensors,
    dataset: &Dataset,
    folder: &Path,
    steps: usize,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(&Event),
) -> Result<Vec<Trial>> {
    let folder = RunFolder::create(folder, false)?;
    let path = folder.path("lr.csv");
    let mut run = Run::new(config, weights, dataset, folder, false)?;
    if !run.keep_features(stop, tell)? {
        return Ok(Vec::new());
    }
    let [from, to] = FACTORS;
    let (mut trials, mut average, mut least) = (Vec::new(), 0.0, f64::INFINITY);
    let rates = &config.train;
    let (mut epoch, mut step) = (0, 0);
    'search: while step < steps {
        let batches = run.batches(epoch);
        let mut loader = run.loader(epoch, &batches, 0)?;
        for batch in batches.iter().take(steps - step) {
            if stop.load(Ordering::Relaxed) {
                break 'search;
            }
            let factor = from * (to / from).powf(step as f64 / (steps - 1).max(1) as f64);
            let loss = match run.step(epoch, step, factor, batch, loader.as_mut()) {
                Ok(loss) => loss,
                // Where the search was bound to end.
                Err(Error::NotFinite { .. }) => break 'search,
                Err(e) => return Err(e),
            };
            average = SMOOTHING * average + (1.0 - SMOOTHING) * loss;
            let smoothed = average / (1.0 - SMOOTHING.powi(step as i32 + 1));
            trials.push(Trial {
                factor,
                lr_backbone: factor * rates.lr_backbone,
                lr_heads: factor * rates.lr_heads,
                loss,
                smoothed,
            });
            step += 1;
            tell(&Event::Step {
                epoch: 1,
                step,
                steps,
                photos: batch.photos.len(),
                loss,
            });
            least = f64::min(least, smoothed);
            if smoothed > 4.0 * least {
                break 'search;
            }
        }
        epoch += 1;
    }
    let mut csv = csv::Writer::from_writer(Vec::new());
    let written = trials.iter().try_for_each(|trial| csv.serialize(trial));
    let bytes = match written {
        Ok(()) => csv.into_inner().unwrap_or_default(),
        Err(e) => {
            return Err(Error::Config {
                origin: path.display().to_string(),
                message: e.to_string(),
            });
        }
    };
    write_atomically(&path, &bytes)?;
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
