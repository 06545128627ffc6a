//! The training loop.

use super::balance::head_loss;
use super::config::{Config, FineTune};
use super::dataset::{Dataset, Split, empty_split};
use super::evaluate::{Queue, jobs, score};
use super::loader::Loader;
use super::loss::HeadLoss;
use super::optim::{Group, Optimizer};
use super::rng::{Purpose, keyed};
use super::run::{EpochRecord, Progress, RunFolder, write_predictions};
use super::score::ScoreReport;
use super::source::Source;
use super::variables::Variables;
use crate::checkpoint::{Description, ModelFile, Tensors};
use crate::error::{Error, Result, write_atomically};
use crate::model::{ModelSpec, MultiTaskModel};
use rand::seq::SliceRandom;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a run tells while it goes on.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Features of a frozen backbone are computed: photos done, and in all.
    Features {
        /// Photos done.
        done: usize,
        /// Photos in all.
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
    let mut run = Run::new(config, weights, dataset, folder, resume, tell)?;
    while !run.finished() {
        if !run.epoch(stop, tell)? {
            return Ok(Outcome {
                stopped: true,
                progress: run.progress,
                scores: None,
            });
        }
    }
    run.finish()
}

pub(super) struct Run<'a> {
    pub(super) config: &'a Config,
    pub(super) spec: ModelSpec,
    pub(super) dataset: &'a Dataset,
    pub(super) folder: RunFolder,
    pub(super) train: Vec<usize>,
    pub(super) valid: Vec<usize>,
    pub(super) losses: Vec<HeadLoss>,
    pub(super) variables: Variables,
    pub(super) model: MultiTaskModel,
    pub(super) optimizer: Optimizer,
    pub(super) source: Source,
    pub(super) queue: Queue,
    pub(super) progress: Progress,
}

impl<'a> Run<'a> {
    fn new(
        config: &'a Config,
        weights: Tensors,
        dataset: &'a Dataset,
        folder: RunFolder,
        resume: bool,
        tell: &mut dyn FnMut(&Event),
    ) -> Result<Self> {
        let spec = config.model_spec()?;
        let (train, valid) = (dataset.indices(Split::Train), dataset.indices(Split::Valid));
        if train.len() < 2 {
            return Err(empty_split(
                dataset,
                Split::Train,
                "training needs at least two photos; look at the `split` column or train.split",
            ));
        }
        let losses = spec
            .heads
            .iter()
            .map(|h| head_loss(h, dataset, &train))
            .collect::<Result<_>>()?;
        let data = dataset.fingerprint();
        let (progress, given, moments) = if resume {
            let (progress, model, moments) = folder.read_state()?;
            if progress.data != data {
                return Err(Error::Invalid {
                    what: "--resume".into(),
                    expected: "the same data as before".into(),
                    found: "other photos, labels or splits".into(),
                });
            }
            (progress, model, Some(moments))
        } else {
            folder.write_config(config)?;
            folder.write_split(dataset)?;
            (
                Progress {
                    data,
                    ..Progress::default()
                },
                weights,
                None,
            )
        };
        let prefixes = trained_prefixes(config);
        let random_backbone = config.model.weights.is_none();
        let variables = Variables::new(
            given,
            config.train.seed,
            move |name| name.starts_with("heads.") || prefixes.iter().any(|p| name.starts_with(p)),
            move |name| random_backbone || name.starts_with("heads."),
        );
        let model =
            MultiTaskModel::new(&spec, config.train.drop_path as f32, &variables.builder())?;
        variables.verdict(
            config
                .model
                .weights
                .as_deref()
                .unwrap_or("the weights given"),
        )?;
        let groups = variables.vars().into_iter().map(|(name, var)| {
            let lr = if name.starts_with("heads.") {
                config.train.lr_heads
            } else {
                config.train.lr_backbone
            };
            // Biases, and scales and shifts of norms, are vectors: they are not decayed.
            let weight_decay = if var.rank() > 1 {
                config.train.weight_decay
            } else {
                0.0
            };
            (name, (var, Group { lr, weight_decay }))
        });
        let mut optimizer = Optimizer::new(config.train.optimizer, groups.collect());
        if let Some(moments) = moments {
            optimizer.restore(&moments, progress.optimizer_steps)?;
        }
        let queue = Queue::new(config.train.queue_mib);
        let source = Source::new(config, &spec, &model, dataset, &train, &valid, queue, tell)?;
        Ok(Self {
            config,
            spec,
            dataset,
            folder,
            train,
            valid,
            losses,
            variables,
            model,
            optimizer,
            source,
            queue,
            progress,
        })
    }

    fn finished(&self) -> bool {
        let p = &self.progress;
        let patience = self.config.train.patience;
        let stale = p
            .best
            .is_some_and(|(_, epoch)| patience > 0 && p.epochs >= epoch + patience);
        p.finished || p.epochs >= self.config.train.epochs || stale
    }

    /// Trains one epoch, from where it stands to its end; false if stopped, with everything saved.
    fn epoch(&mut self, stop: &AtomicBool, tell: &mut dyn FnMut(&Event)) -> Result<bool> {
        let config = &self.config.train;
        let epoch = self.progress.epochs;
        let mut order: Vec<usize> = (0..self.train.len()).collect();
        order.shuffle(&mut keyed(config.seed, Purpose::Shuffle, epoch as u64, 0));
        let mut batches: Vec<&[usize]> = order.chunks(config.batch).collect();
        // One photo alone has no partner to mix with and hardly any statistics.
        batches.pop_if(|b| b.len() < 2);
        let steps = batches.len();
        let first = self.progress.steps;
        let left: Vec<usize> = batches[first..]
            .concat()
            .iter()
            .map(|i| self.train[*i])
            .collect();
        let mut loader = match self.source {
            Source::Photos => Some(Loader::start(
                jobs(self.dataset, &left),
                &self.spec.input,
                Some(config.augment),
                config.seed,
                epoch,
                self.queue.workers,
                self.queue.bytes,
            )?),
            Source::Kept { .. } => None,
        };
        for (step, batch) in batches.iter().enumerate().skip(first) {
            if stop.load(Ordering::Relaxed) {
                self.save_state()?;
                return Ok(false);
            }
            let loss = self.step(epoch, step, steps, batch, loader.as_mut())?;
            self.progress.steps = step + 1;
            self.progress.loss_sum += loss;
            tell(&Event::Step {
                epoch: epoch + 1,
                step: step + 1,
                steps,
                photos: batch.len(),
                loss,
            });
        }
        drop(loader);
        let record = self.validate(epoch + 1, self.progress.loss_sum / steps as f64)?;
        self.progress.epochs += 1;
        self.progress.steps = 0;
        self.progress.loss_sum = 0.0;
        let better = self
            .progress
            .best
            .is_none_or(|(best, _)| record.macro_f1 > best);
        if better {
            self.progress.best = Some((record.macro_f1, record.epoch));
        }
        let file = self.model_file(&record)?;
        file.write(self.folder.path("last.safetensors"))?;
        if better {
            file.write(self.folder.path("best.safetensors"))?;
        }
        self.progress.records.push(record);
        let heads: Vec<String> = self.spec.heads.iter().map(|h| h.name.clone()).collect();
        self.folder.write_metrics(&heads, &self.progress.records)?;
        self.save_state()?;
        if let Some(record) = self.progress.records.last() {
            tell(&Event::Epoch(record));
        }
        Ok(true)
    }

    fn model_file(&self, record: &EpochRecord) -> Result<ModelFile> {
        let training = serde_json::json!({
            "config": self.config.train,
            "weights": self.config.model.weights,
            "data": self.progress.data,
            "photos": self.train.len(),
            "valid": record,
        });
        Ok(ModelFile {
            description: Description::new(self.spec.clone(), training)?,
            tensors: self.variables.snapshot()?,
        })
    }

    fn save_state(&mut self) -> Result<()> {
        let (moments, steps) = self.optimizer.state()?;
        self.progress.optimizer_steps = steps;
        self.folder
            .write_state(&self.progress, self.variables.snapshot()?, moments)
    }

    /// After the last epoch: scores and predictions of the best model on the validation split.
    fn finish(mut self) -> Result<Outcome> {
        self.progress.finished = true;
        self.save_state()?;
        let mut scores = None;
        if !self.valid.is_empty() {
            let model = ModelFile::read(self.folder.path("best.safetensors"))?.build()?;
            let taxonomy = self.spec.taxonomy()?;
            let logits = self.valid_logits(&model)?;
            let (predictions, report) = score(&taxonomy, self.dataset, &self.valid, &logits)?;
            let path = self.folder.path("valid_predictions.csv");
            write_predictions(&path, &taxonomy, self.dataset, &self.valid, &predictions)?;
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

/// The prefixes of the backbone's tensors that are trained.
fn trained_prefixes(config: &Config) -> Vec<String> {
    let stages = config.model.backbone.stages();
    let last = match config.train.fine_tune {
        FineTune::Full => stages.len(),
        FineTune::Frozen => 0,
        FineTune::LastStages(n) => n,
    };
    stages[stages.len() - last..]
        .iter()
        .flat_map(|s| s.iter().map(|p| format!("backbone.{p}")))
        .collect()
}
