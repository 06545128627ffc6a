//! A run: what is trained, on what, towards what, and where it stands; epochs and their ends.

use super::batch_norm::with_new_statistics;
use super::batches::Batches;
use super::config::Config;
use super::event::Event;
use super::kept::Identified;
use super::loss::Loss;
use super::loss::objective::Objective;
use super::loss::tasks::Tasks;
use super::memory;
use super::network::Network;
use super::optim::average::Averages;
use super::optim::schedule;
use super::ranks::Group;
use super::run_folder::{EpochRecord, Models, Progress, RunFolder, Start};
use super::step::{At, step};
use super::teacher::{Soft, from_bytes, said, to_bytes};
use super::validation::Validation;
use crate::data::dataset::Dataset;
use crate::data::seen::{Content, Record, contents, copies};
use crate::error::{Error, Result};
use crate::model::JOINT;
use crate::model_file::Tensors;
use serde_json::json;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a teacher said of the photos that are trained on.
const TEACHER: &str = "teacher.csv";

/// How the steps of an epoch ended.
enum Steps {
    Done,
    Stopped,
    /// A batch could not be loaded. The steps before it are done.
    Unread(Error),
}

/// A run.
pub(super) struct Run<'a> {
    config: &'a Config,
    /// What is trained.
    pub(super) network: Network<'a>,
    /// Where batches come from.
    pub(super) batches: Batches<'a>,
    /// What is learned towards.
    pub(super) objective: Objective<'a>,
    /// What is averaged.
    averages: Averages,
    /// What is measured.
    pub(super) validation: Validation<'a>,
    /// What is written.
    pub(super) models: Models,
    /// Where it stands.
    pub(super) progress: Progress,
    /// Whether it began before.
    goes_on: bool,
    /// Who trains.
    group: &'a Group,
}

impl<'a> Run<'a> {
    /// A run that begins, or goes on, of what is [checked](check).
    ///
    /// # Errors
    /// If configuration, data and weights do not go together, or a run that goes on began otherwise.
    pub(super) fn new(
        config: &'a Config,
        weights: Tensors,
        dataset: &'a Dataset,
        losses: &[(String, &'a dyn Loss)],
        (folder, resume): (RunFolder, bool),
        group: &'a Group,
    ) -> Result<Self> {
        let spec = config.model_spec()?;
        let tasks = Rc::new(Tasks::new(&spec)?);
        let own_losses: BTreeSet<String> = losses.iter().map(|(head, _)| head.clone()).collect();
        let own_losses = Vec::from_iter(own_losses);
        let mut batches = Batches::new(&config.train, &spec, Rc::clone(&tasks), dataset)?;
        batches.place = group.place();
        dataset.check_possible(&tasks.taxonomy)?;
        let train = &batches.train;
        let objective = Objective::new(&spec, Rc::clone(&tasks), dataset, train, losses)?;
        let heads = tasks.heads().count();
        let validation = Validation::new(&config.train, &spec, tasks, dataset, train, group)?;
        if let Some(teacher) = &config.train.teacher {
            teacher.check_apart(&folder.path(TEACHER))?;
        }
        let start = || {
            let resumed = if resume {
                Start::resume(&folder, config, dataset, &own_losses)?
            } else {
                None
            };
            match resumed {
                Some(start) => Ok(start),
                None => Start::begin(&folder, config, dataset, weights, heads, &own_losses),
            }
        };
        let start = match group.place() {
            (_, 1) => start()?,
            _ => Start::from_bytes(&group.share(|| start()?.into_bytes())?)?,
        };
        let goes_on = start.state.is_some();
        let mut progress = start.progress;
        let models = Models::new(
            folder,
            config,
            (&spec, &validation.decision),
            dataset,
            (&progress.data, train.len()),
            json!(objective.unseen()),
            &own_losses,
        )?;
        let epoch = progress.epoch_saved();
        let mut network = Network::new(config, spec, start.given, epoch, batches.steps())?;
        network
            .groups
            .check_shared(&config.train, &network.variables)?;
        let largest = batches.largest();
        let photos = [train.len(), validation.photos.len()];
        let (input, model) = (&network.spec.input, &network.model);
        let together = network.shares_statistics()?.then_some(group.place().1);
        memory::check(&config.train, (largest, together), input, model, photos)?;
        let mut averages = Averages::new(config.train.ema);
        if let Some(state) = &start.state {
            let steps = progress.optimizer_steps;
            network.optimizer.restore(state, steps)?;
            averages.restore(state, steps, progress.averaged)?;
        }
        if validation.photos.is_empty() {
            // States of before have a score of 0 where nothing was measured.
            progress.best = None;
        }
        Ok(Self {
            config,
            network,
            batches,
            objective,
            averages,
            validation,
            models,
            progress,
            goes_on,
            group,
        })
    }

    /// Computes the features that are kept, if any are, and records whom the model will have seen; false if stopped. Each process
    /// computes its share of the features; the teacher is asked, and photos are read for the record, by the first.
    pub(super) fn prepare(
        &mut self,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<bool> {
        let (config, dataset) = (&self.config.train, self.batches.dataset);
        if let Some(teacher) = &config.teacher {
            let photos = self.batches.train.iter().map(|i| &dataset.samples[*i]);
            let photos: Vec<_> = photos.collect();
            let (spec, file) = (&self.network.spec, self.models.folder.path(TEACHER));
            let kept = (file.as_path(), self.goes_on);
            let ask = |on_event: &mut dyn FnMut(&Event)| {
                said(teacher, spec, &photos, kept, stop, on_event)
            };
            let said = match self.group.place() {
                (_, 1) => ask(on_event)?,
                _ => from_bytes(&self.group.share(|| to_bytes(ask(on_event)?))?)?,
            };
            let Some(said) = said else {
                return Ok(false);
            };
            self.batches.soft = Some(Soft::new(teacher, spec, &photos, said)?);
        }
        if !config.keeps_features() {
            let contents = if self.group.is_first() {
                contents(dataset, stop, &|_, _| ())
            } else {
                Some(Vec::new())
            };
            if self.group.any(Ok(contents.is_none()))? {
                return Ok(false);
            }
            if let Some(contents) = contents.filter(|_| self.group.is_first()) {
                self.record(&contents, on_event)?;
            }
            return Ok(true);
        }
        let tensors = self.network.variables.snapshot()?;
        let network = (&self.network.spec, &tensors);
        let photos = [&self.batches.train[..], &self.validation.photos];
        let group = self.group;
        let found = Identified::new(config, network, dataset, photos, stop, group)?;
        let Some(mut found) = found else {
            return Ok(false);
        };
        if group.is_first() {
            self.record(&found.contents(dataset), on_event)?;
        }
        let of_run = (&self.network.model, self.batches.loading, group);
        let Some((kept, valid)) = found.complete(config, of_run, stop, on_event)? else {
            return Ok(false);
        };
        self.batches.kept = Some(kept);
        self.validation.features = Some(valid);
        Ok(true)
    }

    fn record(
        &mut self,
        contents: &[Option<Content>],
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<()> {
        let dataset = self.batches.dataset;
        if let Some(warning) = copies(dataset, contents) {
            on_event(&Event::Warning(&warning));
        }
        let seen = Record::new(dataset, &self.progress.data, contents)?;
        self.models.record(seen.0);
        Ok(())
    }

    pub(super) fn finished(&self) -> bool {
        let p = &self.progress;
        let patience = self.config.train.patience;
        let stale = p
            .highest()
            .is_some_and(|(_, epoch)| patience > 0 && p.epochs >= epoch + patience);
        // Not what was written when it finished: patience may have been raised since.
        p.epochs >= self.config.train.epochs || stale
    }

    /// Trains one epoch, from where it stands to its end; false if stopped. Everything is saved.
    pub(super) fn epoch(
        &mut self,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<bool> {
        let epoch = self.progress.epochs;
        if self.progress.steps == 0 {
            self.network.enter(epoch)?;
        }
        match self.steps(epoch, stop, on_event)? {
            Steps::Done => {}
            Steps::Stopped => {
                self.save()?;
                return Ok(false);
            }
            Steps::Unread(error) => {
                self.save()?;
                return Err(error);
            }
        }
        let (record, tensors) = self.measure(epoch)?;
        self.end_epoch(record, tensors)?;
        self.save()?;
        if let Some(record) = self.progress.records.last() {
            on_event(&Event::Epoch(record));
        }
        Ok(true)
    }

    /// The steps of an epoch.
    fn steps(
        &mut self,
        epoch: usize,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Steps> {
        let config = &self.config.train;
        let (first, steps) = (self.progress.steps, self.batches.steps());
        let mut batches = self.batches.epoch(epoch, first)?;
        for number in first..steps {
            let batch = if stop.load(Ordering::Relaxed) {
                Ok(None)
            } else {
                batches.load(number).map(Some)
            };
            // Asked to stop is who is asked anywhere.
            let said = self
                .group
                .agree_on(batch, |batch| vec![u8::from(batch.is_none())]);
            let (batch, stops) = match said {
                Ok((batch, said)) => (batch, said.concat().contains(&1)),
                Err(e) => return Ok(Steps::Unread(e)),
            };
            let Some(batch) = batch.filter(|_| !stops) else {
                return Ok(Steps::Stopped);
            };
            let (done, all) = (epoch * steps + number, config.epochs * steps);
            let at = At {
                epoch,
                step: number,
                lr: schedule::factor(done, all, config.warm_up, config.final_lr),
            };
            let photos = batch.photos;
            let balancer = &mut self.progress.balancing;
            let (network, group) = (&mut self.network, self.group);
            let loss = step(network, &self.objective, balancer, batch, at, group)?;
            self.averages.after_step(&self.network.variables)?;
            self.progress.steps = number + 1;
            self.progress.loss_sum += loss;
            on_event(&Event::Step {
                epoch: epoch + 1,
                step: number + 1,
                steps,
                photos,
                loss,
            });
        }
        Ok(Steps::Done)
    }

    /// The figures of an epoch, and the tensors they are of: among the last epochs those of the average, where that is better.
    fn measure(&mut self, epoch: usize) -> Result<(EpochRecord, Tensors)> {
        let config = &self.config.train;
        let loss = self.progress.loss_sum / self.batches.steps() as f64;
        let tensors = self.averages.over(&self.network.variables)?;
        let measure = |tensors: &Tensors| {
            let validation = &self.validation;
            validation.measure(&self.objective, epoch + 1, loss, tensors)
        };
        let record = measure(&tensors)?;
        if epoch + config.average_last >= config.epochs
            && let Some(averaged) = self.averages.after_epoch(&tensors)?
        {
            let averaged = with_new_statistics(&self.network, &self.batches, epoch, averaged)?;
            let of_average = measure(&averaged)?;
            // Where nothing is measured it is what was asked for.
            if of_average.macro_f1.is_none() || of_average.beats(&record) {
                return Ok((of_average, averaged));
            }
        }
        Ok((record, tensors))
    }

    /// Takes an epoch's figures in, and writes its model.
    fn end_epoch(&mut self, mut record: EpochRecord, tensors: Tensors) -> Result<()> {
        let progress = &mut self.progress;
        progress.epochs += 1;
        (progress.steps, progress.loss_sum) = (0, 0.0);
        let chosen = progress.replaces_model(&record, self.validation.persons);
        if chosen {
            progress.best = record.macro_f1.map(|f1| (f1, record.epoch));
        }
        self.models.write(&record, tensors, chosen)?;
        let (steps, config) = (self.batches.steps(), &self.config.train);
        let (last, all) = (progress.epochs * steps - 1, config.epochs * steps);
        let lr = schedule::factor(last, all, config.warm_up, config.final_lr);
        record.lr_heads = Some(lr * config.lr_heads);
        let trained = self.network.variables.vars();
        let of_backbone = trained.keys().any(|name| name.starts_with("backbone."));
        record.lr_backbone = of_backbone.then_some(lr * config.lr_backbone);
        (record.head_weights, record.gradients) = progress.balancing.end_epoch();
        progress.records.push(record);
        let heads = self.objective.tasks.heads();
        let heads: Vec<String> = heads.map(|h| h.name.clone()).collect();
        self.models.folder.write_metrics(&heads, &progress.records)
    }

    /// Saves where it stands, on the process that writes.
    pub(super) fn save(&mut self) -> Result<()> {
        if !self.models.folder.is_own() {
            return Ok(());
        }
        let (mut state, steps) = self.network.optimizer.state()?;
        state.extend(self.averages.state()?);
        self.progress.optimizer_steps = steps;
        self.progress.averaged = self.averages.epochs();
        let model = self.network.variables.state();
        let folder = &self.models.folder;
        folder.write_state(&self.progress, model, state)
    }
}

/// Looked at before a folder is made: whether the configuration is valid, the losses of one's own are of its heads, and the
/// data is of them and corrected by the files it names.
///
/// # Errors
/// [`Error::Invalid`], [`Error::UnknownName`] or [`Error::Data`] naming what does not fit.
pub(super) fn check(
    config: &Config,
    dataset: &Dataset,
    losses: &[(String, &dyn Loss)],
) -> Result<()> {
    config.validate()?;
    let spec = config.model_spec()?;
    dataset.check(&spec.heads)?;
    let heads = spec.heads.iter().map(|h| h.name.clone());
    let known: Vec<String> = heads
        .chain(spec.joint.iter().map(|_| JOINT.into()))
        .collect();
    if let Some((found, _)) = losses.iter().find(|(head, _)| !known.contains(head)) {
        return Err(Error::UnknownName {
            what: "head",
            found: found.clone(),
            known,
        });
    }
    let applied: Vec<_> = dataset.corrections.iter().map(|c| &c.path).collect();
    if applied.iter().copied().eq(&config.train.corrections) {
        return Ok(());
    }
    Err(Error::Invalid {
        what: "train.corrections".into(),
        expected: format!("{applied:?}, as were applied to the data"),
        found: format!("{:?}", config.train.corrections),
    })
}
