//! The training loop.

use super::build::build;
use super::config::{Config, TrainConfig};
use super::loss::tasks::Tasks;
use super::loss::{Consistency, HeadLoss};
use super::mixing::Mix;
use super::optim::Optimizer;
use super::optim::average::{Average, share};
use super::optim::plan::Plan;
use super::optim::schedule;
use super::optim::variables::Variables;
use super::run::{EpochRecord, Progress, RunFolder, write_predictions};
use super::source::Source;
use super::unseen::Unseen;
use crate::data::dataset::Dataset;
use crate::data::sampling::Sampler;
use crate::data::seen::Record;
use crate::error::{Error, Result, write_atomically};
use crate::eval::decide;
use crate::eval::evaluate::{Queue, logits};
use crate::eval::score::ScoreReport;
use crate::model::combine::Decision;
use crate::model::{ModelSpec, MultiTaskModel};
use crate::model_file::{Description, ModelFile, Tensors};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a run tells while it goes on.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Features of a frozen backbone were looked for in the file they are kept in.
    Found {
        /// Those that are there.
        found: usize,
        /// Those that are needed: one a photo and view.
        of: usize,
        /// The file.
        file: &'a Path,
    },
    /// Features of a frozen backbone are computed.
    Features {
        /// Photos done.
        done: usize,
        /// Photos to do.
        of: usize,
    },
    /// A step is done.
    Step {
        /// Epoch, from 1.
        epoch: usize,
        /// Step within the epoch, from 1.
        step: usize,
        /// Steps an epoch.
        steps: usize,
        /// Photos of this step.
        photos: usize,
        /// Joint loss of this step.
        loss: f64,
    },
    /// An epoch is done and everything saved.
    Epoch(&'a EpochRecord),
    /// Something that should be known before training goes on, in words.
    Warning(&'a str),
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether it was stopped before its end; `--resume` goes on.
    pub stopped: bool,
    /// Where it stands.
    pub progress: Progress,
    /// Scores of the best model on the validation split; `None` if stopped or without a validation split.
    pub scores: Option<ScoreReport>,
}

/// Trains. `weights` are the pretrained tensors, named `backbone.…` (and `heads.…`, to go on from a model); heads without tensors
/// start afresh. Everything is written to `out`; `stop` is looked at before each step.
///
/// # Errors
/// Anything from reading, training and writing; a variable without a gradient and a loss that is not finite among them. What was
/// saved before stays.
pub fn train(
    config: &Config,
    weights: Tensors,
    dataset: &Dataset,
    out: &Path,
    resume: bool,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(&Event),
) -> Result<Outcome> {
    let folder = RunFolder::create(out, resume)?;
    let mut run = Run::new(config, weights, dataset, folder, resume)?;
    let stopped = |run: Run| {
        Ok(Outcome {
            stopped: true,
            progress: run.progress,
            scores: None,
        })
    };
    for unseen in Unseen::all(run.tasks.heads(), &run.losses) {
        tell(&Event::Warning(&unseen.to_string()));
    }
    if !run.keep_features(stop, tell)? {
        run.save_state()?;
        return stopped(run);
    }
    while !run.finished() {
        if !run.epoch(stop, tell)? {
            return stopped(run);
        }
    }
    run.finish()
}

pub(super) struct Run<'a> {
    pub(super) config: &'a Config,
    pub(super) plan: Plan,
    pub(super) spec: ModelSpec,
    pub(super) tasks: Tasks,
    /// The loss between joint head and heads and its factor, if there is one.
    pub(super) consistency: Option<(f64, Consistency)>,
    pub(super) dataset: &'a Dataset,
    pub(super) folder: RunFolder,
    pub(super) train: Vec<usize>,
    pub(super) sampler: Sampler,
    pub(super) mixes: Vec<Mix>,
    pub(super) valid: Vec<usize>,
    pub(super) losses: Vec<HeadLoss>,
    pub(super) variables: Variables,
    pub(super) model: MultiTaskModel,
    pub(super) optimizer: Optimizer,
    /// How the final class is decided.
    pub(super) decision: Decision,
    /// The exponential moving average, if one is kept.
    pub(super) ema: Average,
    /// The average over the last epochs.
    pub(super) last: Average,
    pub(super) source: Source,
    pub(super) queue: Queue,
    pub(super) progress: Progress,
    /// Whom the model will have seen.
    pub(super) seen: Record,
}

impl Run<'_> {
    fn finished(&self) -> bool {
        let p = &self.progress;
        let patience = self.config.train.patience;
        let stale = p
            .best
            .is_some_and(|(_, epoch)| patience > 0 && p.epochs >= epoch + patience);
        // Not what was written when it finished: patience may have been raised since.
        p.epochs >= self.config.train.epochs || stale
    }

    /// Trains one epoch, from where it stands to its end; false if stopped, with everything saved.
    fn epoch(&mut self, stop: &AtomicBool, tell: &mut dyn FnMut(&Event)) -> Result<bool> {
        let config = &self.config.train;
        let epoch = self.progress.epochs;
        if self.progress.steps == 0 && self.plan.changes(epoch) {
            self.unfreeze(epoch)?;
        }
        let batches = self.batches(epoch);
        let steps = batches.len();
        let first = self.progress.steps;
        let mut loader = self.loader(epoch, &batches, first)?;
        for (step, batch) in batches.iter().enumerate().skip(first) {
            if stop.load(Ordering::Relaxed) {
                self.save_state()?;
                return Ok(false);
            }
            let lr = schedule::factor(
                epoch * steps + step,
                config.epochs * steps,
                config.warm_up,
                config.final_lr,
            );
            let loss = self.step(epoch, step, lr, batch, loader.as_mut())?;
            if config.ema > 0.0 {
                let moving = self.variables.moving();
                self.ema.take(&moving, |count| share(config.ema, count))?;
            }
            self.progress.steps = step + 1;
            self.progress.loss_sum += loss;
            tell(&Event::Step {
                epoch: epoch + 1,
                step: step + 1,
                steps,
                photos: batch.photos.len(),
                loss,
            });
        }
        drop(loader);
        let train_loss = self.progress.loss_sum / steps as f64;
        let mut tensors = self.tensors()?;
        let mut record = self.validate(epoch + 1, train_loss, &tensors)?;
        if epoch + config.average_last >= config.epochs {
            // The average over the epochs so far is taken where it is better.
            self.last.take(&tensors, |count| 1.0 / (count + 1) as f64)?;
            if self.last.count() > 1 {
                let averaged = self.with_new_statistics(epoch, self.last.tensors()?)?;
                let of_average = self.validate(epoch + 1, train_loss, &averaged)?;
                // Where nothing is measured it is what was asked for.
                if of_average.macro_f1.is_none() || of_average.beats(&record) {
                    (record, tensors) = (of_average, averaged);
                }
            }
        }
        self.progress.epochs += 1;
        self.progress.steps = 0;
        self.progress.loss_sum = 0.0;
        let better = self.progress.improves(&record);
        if better {
            self.progress.best = record.macro_f1.map(|f1| (f1, record.epoch));
        }
        let file = self.model_file(&record, tensors)?;
        file.write(self.folder.path("last.safetensors"))?;
        if better {
            file.write(self.folder.path("best.safetensors"))?;
        }
        (record.head_weights, record.gradients) = self.progress.balancing.end_epoch();
        self.progress.records.push(record);
        let heads: Vec<String> = self.tasks.heads().map(|h| h.name.clone()).collect();
        self.folder.write_metrics(&heads, &self.progress.records)?;
        self.save_state()?;
        if let Some(record) = self.progress.records.last() {
            tell(&Event::Epoch(record));
        }
        Ok(true)
    }

    /// Trains what `epoch` adds, too.
    fn unfreeze(&mut self, epoch: usize) -> Result<()> {
        let steps = steps_of(self.config, self.sampler.photos());
        let given = self.variables.snapshot()?;
        let (variables, model, mut optimizer) =
            build(self.config, &self.spec, &self.plan, given, epoch, steps)?;
        std::mem::swap(&mut self.optimizer, &mut optimizer);
        self.optimizer.take_over(optimizer);
        (self.variables, self.model) = (variables, model);
        Ok(())
    }

    /// The tensors that are scored and saved: the averages, where there are any.
    pub(super) fn tensors(&self) -> Result<Tensors> {
        let mut tensors = self.variables.snapshot()?;
        tensors.extend(self.ema.tensors()?);
        Ok(tensors)
    }

    fn model_file(&self, record: &EpochRecord, tensors: Tensors) -> Result<ModelFile> {
        // Where features are kept changes nothing in the model, nor does what is measured.
        let config = TrainConfig {
            feature_cache: None,
            report_gradients: 0,
            ..self.config.train.clone()
        };
        let mut training = serde_json::json!({
            "config": config,
            "weights": self.config.model.weights,
            "data": self.progress.data,
            "photos": self.train.len(),
            "valid": record,
        });
        if !self.dataset.skipped.is_empty() {
            training["skipped"] = serde_json::json!(self.dataset.skipped.len());
        }
        let unseen = Unseen::all(self.tasks.heads(), &self.losses);
        if !unseen.is_empty() {
            training["without_photos"] = serde_json::json!(unseen);
        }
        if !self.dataset.corrections.is_empty() {
            training["corrections"] = serde_json::json!(self.dataset.corrections);
        }
        let mut description = Description::new(self.spec.clone(), training)?;
        description.decision = self.decision.clone();
        description.seen = self.seen.0.clone();
        Ok(ModelFile {
            description,
            tensors,
        })
    }

    fn save_state(&mut self) -> Result<()> {
        let (mut kept, steps) = self.optimizer.state()?;
        for (prefix, average) in [("ema.", &self.ema), ("last.", &self.last)] {
            let tensors = average.tensors()?.into_iter();
            kept.extend(tensors.map(|(name, t)| (format!("{prefix}{name}"), t)));
        }
        self.progress.optimizer_steps = steps;
        self.progress.averaged = self.last.count();
        self.folder
            .write_state(&self.progress, self.variables.state()?, kept)
    }

    /// After the last epoch: scores and predictions of the best model on the validation split.
    fn finish(mut self) -> Result<Outcome> {
        self.progress.finished = true;
        self.save_state()?;
        let mut scores = None;
        if !self.valid.is_empty() {
            let best = self.folder.path("best.safetensors");
            let mut file = ModelFile::read(&best)?;
            let model = file.build()?;
            let logits = logits(&model, &self.valid_features(&model)?)?;
            if self.decision.rule.is_tuned() {
                let taxonomy = &self.tasks.taxonomy;
                let classes = decide::classes(taxonomy, self.dataset, &self.valid);
                self.decision = decide::tuned(self.decision, taxonomy, &logits, &classes)?;
                file.description.decision = self.decision.clone();
                file.write(&best)?;
            }
            let (predictions, report) = self.score(&self.decision, &logits)?;
            let (taxonomy, path) = (
                &self.tasks.taxonomy,
                self.folder.path("valid_predictions.csv"),
            );
            write_predictions(&path, taxonomy, self.dataset, &self.valid, &predictions)?;
            let json = serde_json::to_vec_pretty(&report).map_err(|e| Error::Config {
                origin: "scores.json".into(),
                message: e.to_string(),
            })?;
            write_atomically(&self.folder.path("scores.json"), &json)?;
            scores = Some(report);
        }
        Ok(Outcome {
            stopped: false,
            progress: self.progress,
            scores,
        })
    }
}

/// Steps an epoch of `photos` photos has.
pub(super) fn steps_of(config: &Config, photos: usize) -> usize {
    let batch = config.train.batch;
    // One photo alone has no partner to mix with and hardly any statistics.
    photos / batch + usize::from(photos % batch > 1)
}
