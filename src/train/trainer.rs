//! The training loop.

use super::config::{Config, FineTune};
use super::dataset::{Dataset, Split};
use super::evaluate::{Queue, features, jobs, logits, score};
use super::loader::Loader;
use super::loss::{HeadLoss, balanced_weights};
use super::mix::{Targets, draw_lambda, mix_up};
use super::optim::{Group, Optimizer};
use super::rng::{Purpose, keyed};
use super::run::{EpochRecord, Progress, RunFolder, write_predictions};
use super::schedule;
use super::score::ScoreReport;
use super::targets::{label, target};
use super::variables::Variables;
use crate::checkpoint::{Description, ModelFile, Tensors};
use crate::error::{Error, Result, write_atomically};
use crate::head::{ClassWeights, HeadSpec};
use crate::layers::Mode;
use crate::model::{ModelSpec, MultiTaskModel};
use crate::ops::scale;
use candle_core::{DType, Device, Tensor};
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

/// Where a step's features come from.
enum Source {
    /// Photos, loaded and run through the backbone each time.
    Photos,
    /// Features of a frozen backbone, computed once; a row for each of `train`, and of `valid`.
    Kept {
        train: Tensor,
        valid: Option<Tensor>,
    },
}

struct Run<'a> {
    config: &'a Config,
    spec: ModelSpec,
    dataset: &'a Dataset,
    folder: RunFolder,
    train: Vec<usize>,
    valid: Vec<usize>,
    losses: Vec<HeadLoss>,
    variables: Variables,
    model: MultiTaskModel,
    optimizer: Optimizer,
    source: Source,
    queue: Queue,
    progress: Progress,
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

    /// One step; gives the joint loss.
    fn step(
        &mut self,
        epoch: usize,
        step: usize,
        steps: usize,
        batch: &[usize],
        loader: Option<&mut Loader>,
    ) -> Result<f64> {
        let config = &self.config.train;
        let mut targets: Vec<Targets> = self
            .spec
            .heads
            .iter()
            .enumerate()
            .map(|(i, h)| self.targets(i, h, batch))
            .collect();
        let key =
            config.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((epoch as u64) << 32 | step as u64);
        let mode = Mode::Train {
            batch_norm: config.batch_norm,
            key,
        };
        let features = match (&self.source, loader) {
            (Source::Kept { train, .. }, _) => {
                let rows: Vec<u32> = batch.iter().map(|i| *i as u32).collect();
                train.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?
            }
            (Source::Photos, Some(loader)) => {
                let photos = loader.take(batch.len()).collect::<Result<Vec<_>>>()?;
                let [h, w] = self.spec.input.size;
                let mut pixels: Vec<f32> = photos.into_iter().flat_map(|p| p.pixels).collect();
                let lambda = draw_lambda(config.mix_up, config.seed, epoch as u64, step as u64)?;
                mix_up(&mut pixels, &mut targets, batch.len(), lambda);
                let images = Tensor::from_vec(pixels, (batch.len(), 3, h, w), &Device::Cpu)?;
                self.model.features(&images, mode)?
            }
            (Source::Photos, None) => {
                return Err(Error::Invalid {
                    what: "a step on photos".into(),
                    expected: "a loader".into(),
                    found: "none".into(),
                });
            }
        };
        let not_finite = |what: String, value: f64| Error::NotFinite {
            what,
            value,
            epoch: epoch + 1,
            step: step + 1,
        };
        let logits = self.model.logits(&features, mode)?;
        let mut joint = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        for (((head, loss), logits), targets) in self
            .spec
            .heads
            .iter()
            .zip(&self.losses)
            .zip(&logits)
            .zip(&targets)
        {
            let rows = Tensor::from_slice(
                &targets.rows,
                (batch.len(), targets.num_labels),
                &Device::Cpu,
            )?;
            let weights = Tensor::from_slice(&targets.weights, batch.len(), &Device::Cpu)?;
            let Some(loss) = loss.loss(logits, &rows, &weights)? else {
                // No photo of this batch has the label: the head still takes part, with gradient 0, so that a variable without
                // a gradient always means a cut graph.
                joint = (joint + scale(&logits.sum_all()?, vec![0.0])?)?;
                continue;
            };
            let value = f64::from(loss.to_scalar::<f32>()?);
            if !value.is_finite() {
                return Err(not_finite(
                    format!("the loss of head `{}`", head.name),
                    value,
                ));
            }
            // Not `loss * weight`: candle drops the gradient of a multiplication by 0 instead of making it 0.
            joint = (joint + scale(&loss, vec![head.weight as f32])?)?;
        }
        let value = f64::from(joint.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(not_finite("the joint loss".into(), value));
        }
        let grads = self.optimizer.collect(&joint.backward()?)?;
        let norms = self.optimizer.norms(&grads)?;
        if let Some((name, norm)) = norms.iter().find(|(_, n)| !n.is_finite()) {
            return Err(not_finite(format!("the gradient of `{name}`"), *norm));
        }
        let norm = norms.iter().map(|(_, n)| n * n).sum::<f64>().sqrt();
        let shorten = if config.clip > 0.0 && norm > config.clip {
            config.clip / norm
        } else {
            1.0
        };
        let lr = schedule::factor(
            epoch * steps + step,
            config.epochs * steps,
            config.warm_up,
            config.final_lr,
        );
        self.optimizer.step(&grads, lr, shorten)?;
        Ok(value)
    }

    /// One head's targets for a batch of places in `train`.
    fn targets(&self, head: usize, spec: &HeadSpec, batch: &[usize]) -> Targets {
        let n = spec.num_labels();
        let mut rows = vec![0.0; batch.len() * n];
        let mut weights = vec![0.0; batch.len()];
        for ((i, row), weight) in batch.iter().zip(rows.chunks_exact_mut(n)).zip(&mut weights) {
            let value = &self.dataset.samples[self.train[*i]].values[head];
            if let Some(soft) = value.as_ref().and_then(|v| target(spec, v)) {
                row.copy_from_slice(&soft);
                *weight = 1.0;
            }
        }
        Targets {
            rows,
            weights,
            num_labels: n,
        }
    }

    /// The model as it stands, as constants.
    fn frozen(&self) -> Result<ModelFile> {
        let description = Description::new(self.spec.clone(), serde_json::Value::Null)?;
        Ok(ModelFile {
            description,
            tensors: self.variables.snapshot()?,
        })
    }

    fn valid_logits(&self, model: &MultiTaskModel) -> Result<Vec<Vec<Vec<f32>>>> {
        match &self.source {
            Source::Kept {
                valid: Some(valid), ..
            } => logits(model, valid),
            _ => {
                let all = features(
                    model,
                    &self.spec.input,
                    self.dataset,
                    &self.valid,
                    self.queue,
                    &mut |_| (),
                )?;
                logits(model, &all)
            }
        }
    }

    fn validate(&self, epoch: usize, train_loss: f64) -> Result<EpochRecord> {
        if self.valid.is_empty() {
            let none = vec![0.0; self.spec.heads.len()];
            return Ok(EpochRecord {
                epoch,
                train_loss,
                valid_loss: None,
                macro_f1: 0.0,
                accuracy: 0.0,
                head_accuracy: none.clone(),
                head_macro_f1: none,
            });
        }
        let model = self.frozen()?.build()?;
        let logits = self.valid_logits(&model)?;
        let (_, report) = score(&self.spec.taxonomy()?, self.dataset, &self.valid, &logits)?;
        let mut valid_loss = 0.0;
        for (i, (head, loss)) in self.spec.heads.iter().zip(&self.losses).enumerate() {
            let labels: Vec<Option<usize>> = self
                .valid
                .iter()
                .map(|s| {
                    self.dataset.samples[*s].values[i]
                        .as_ref()
                        .map(|v| label(head, v))
                })
                .collect();
            let n = head.num_labels();
            let one_hot: Vec<f32> = labels
                .iter()
                .flat_map(|l| (0..n).map(move |c| if *l == Some(c) { 1.0 } else { 0.0 }))
                .collect();
            let weights: Vec<f32> = labels
                .iter()
                .map(|l| if l.is_some() { 1.0 } else { 0.0 })
                .collect();
            let values: Vec<f32> = logits.iter().flat_map(|l| l[i].iter().copied()).collect();
            let rows = labels.len();
            let (one_hot, values) = (
                Tensor::from_vec(one_hot, (rows, n), &Device::Cpu)?,
                Tensor::from_vec(values, (rows, n), &Device::Cpu)?,
            );
            if let Some(l) = loss.loss(
                &values,
                &one_hot,
                &Tensor::from_vec(weights, rows, &Device::Cpu)?,
            )? {
                valid_loss += head.weight * f64::from(l.to_scalar::<f32>()?);
            }
        }
        let head_macro_f1: Vec<f64> = report.heads.iter().map(|h| h.macro_f1).collect();
        let macro_f1 = if report.class.photos > 0 {
            report.class.macro_f1
        } else {
            head_macro_f1.iter().sum::<f64>() / head_macro_f1.len() as f64
        };
        Ok(EpochRecord {
            epoch,
            train_loss,
            valid_loss: Some(valid_loss),
            macro_f1,
            accuracy: report.class.accuracy,
            head_accuracy: report.heads.iter().map(|h| h.accuracy).collect(),
            head_macro_f1,
        })
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

impl Source {
    /// Features are kept if the backbone is frozen and nothing random touches the photos.
    #[allow(clippy::too_many_arguments)]
    fn new(
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

fn empty_split(dataset: &Dataset, split: Split, reason: &str) -> Error {
    let origin = dataset
        .sources
        .iter()
        .map(|s| s.display().to_string())
        .collect::<Vec<_>>()
        .join(", ");
    Error::EmptySplit {
        split: split.name().into(),
        origin,
        reason: reason.into(),
    }
}

/// The loss of one head, its class weights as numbers.
fn head_loss(head: &HeadSpec, dataset: &Dataset, train: &[usize]) -> Result<HeadLoss> {
    let place = dataset
        .heads
        .iter()
        .position(|h| h.name == head.name)
        .unwrap_or(0);
    let mut counts = vec![0; head.num_labels()];
    for i in train {
        if let Some(v) = &dataset.samples[*i].values[place] {
            counts[label(head, v)] += 1;
        }
    }
    if counts.iter().all(|c| *c == 0) {
        let reason = format!(
            "no photo of it has a label for head `{}` (column `{}`)",
            head.name,
            head.column()
        );
        return Err(empty_split(dataset, Split::Train, &reason));
    }
    let class_weights = match &head.class_weights {
        ClassWeights::Equal => vec![1.0; counts.len()],
        ClassWeights::Given(w) => w.clone(),
        ClassWeights::Rule(crate::head::ClassWeightRule::Balanced) => balanced_weights(&counts),
    };
    Ok(HeadLoss {
        kind: head.loss,
        class_weights,
        smoothing: head.smoothing,
    })
}
