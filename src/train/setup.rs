//! From a configuration and data to a run that can begin, or go on.

use super::balancing::Balancer;
use super::build::build;
use super::config::Config;
use super::loss::Consistency;
use super::loss::class_weights::head_loss;
use super::loss::tasks::Tasks;
use super::mixing::Mix;
use super::optim::average::Average;
use super::optim::plan::Plan;
use super::resume::Beginning;
use super::run::{Progress, RunFolder};
use super::source::Source;
use super::trainer::{Run, steps_of};
use crate::data::dataset::{Dataset, Split, empty_split};
use crate::data::sampling::Sampler;
use crate::data::seen::Record;
use crate::error::{Error, Result};
use crate::eval::decide;
use crate::eval::evaluate::Queue;
use crate::model_file::Tensors;
use candle_core::Tensor;

impl<'a> Run<'a> {
    pub(super) fn new(
        config: &'a Config,
        weights: Tensors,
        dataset: &'a Dataset,
        folder: RunFolder,
        resume: bool,
    ) -> Result<Self> {
        let spec = config.model_spec()?;
        let corrections = dataset.corrections.iter().map(|c| &c.path);
        if !corrections.eq(&config.train.corrections) {
            let applied: Vec<_> = dataset.corrections.iter().map(|c| &c.path).collect();
            return Err(Error::Invalid {
                what: "train.corrections".into(),
                expected: format!("{applied:?}, as were applied to the data"),
                found: format!("{:?}", config.train.corrections),
            });
        }
        let (train, valid) = (dataset.indices(Split::Train), dataset.indices(Split::Valid));
        let sampler = Sampler::new(&config.train.sampling, &spec, dataset, &train)?;
        if sampler.photos() < 2 {
            return Err(empty_split(
                dataset,
                Split::Train,
                "training needs at least two photos, or persons with sampling=one_photo_a_person; look at the `split` column or train.split",
            ));
        }
        let tasks = Tasks::new(&spec)?;
        dataset.check_possible(&tasks.taxonomy)?;
        let targets = tasks.targets(train.iter().map(|i| &dataset.samples[*i]));
        let losses = tasks
            .heads()
            .zip(&targets)
            .map(|(h, targets)| head_loss(h, dataset, targets))
            .collect::<Result<_>>()?;
        let consistency = match spec.joint.as_ref().map(|j| j.consistency) {
            Some(factor) if factor > 0.0 => Some((factor, Consistency::new(&tasks.taxonomy)?)),
            _ => None,
        };
        let rule = config.train.decision;
        if rule.is_tuned() && valid.is_empty() {
            let reason = format!("train.decision={} is tuned on it", rule.name());
            return Err(empty_split(dataset, Split::Valid, &reason));
        }
        let decision = decide::untuned(
            rule,
            &tasks.taxonomy,
            spec.joint.as_ref().map(|j| j.share),
            &decide::classes(&tasks.taxonomy, dataset, &train),
        )?;
        let mixes = Mix::all(config.train.mixes(), &spec, dataset, &train)?;
        let data = dataset.fingerprint();
        let began = Beginning::new(config, dataset)?;
        let (mut progress, given, kept) = if resume {
            let (progress, model, moments) = folder.read_state()?;
            began.check(&progress, &folder.path("config.toml"))?;
            if progress.data != data {
                return Err(Error::Invalid {
                    what: "--resume".into(),
                    expected: "the same listings as before; photos that broke since are left in them and passed over with --skip-broken".into(),
                    found: "other photos, labels or splits".into(),
                });
            }
            began.check_rows(&progress)?;
            progress.balancing.check(config.train.balancing)?;
            (progress, model, Some(moments))
        } else {
            folder.write_config(config)?;
            folder.write_split(dataset)?;
            (
                Progress {
                    data,
                    began: Some(began),
                    balancing: Balancer::new(config.train.balancing, tasks.heads().count()),
                    ..Progress::default()
                },
                weights,
                None,
            )
        };
        let plan = Plan::new(config);
        let mut ema = Average::default();
        let mut last = Average::default();
        // What was saved at the end of an epoch is of that epoch's variables.
        let epoch = match (progress.epochs, progress.steps) {
            (epochs, 0) => epochs.saturating_sub(1),
            (epochs, _) => epochs,
        };
        let (variables, model, mut optimizer) = build(
            config,
            &spec,
            &plan,
            given,
            epoch,
            steps_of(config, sampler.photos()),
        )?;
        config.train.check_shared(&plan, &variables)?;
        if let Some(kept) = kept {
            let part = |prefix: &str| -> Tensors {
                let of =
                    |(n, t): (&String, &Tensor)| Some((n.strip_prefix(prefix)?.into(), t.clone()));
                kept.iter().filter_map(of).collect()
            };
            optimizer.restore(&kept, progress.optimizer_steps)?;
            ema = Average::restore(&part("ema."), progress.optimizer_steps)?;
            last = Average::restore(&part("last."), progress.averaged)?;
        }
        if valid.is_empty() {
            // States of before have a score of 0 where nothing was measured.
            progress.best = None;
        }
        let mut names = dataset.unique_names();
        let skipped: Vec<String> = (dataset.skipped.iter())
            .map(|i| std::mem::take(&mut names[*i]))
            .collect();
        if progress.skipped != skipped {
            // The batches are others now: an epoch that has begun begins again.
            (progress.steps, progress.loss_sum) = (0, 0.0);
            progress.skipped = skipped;
        }
        let queue = Queue::new(config.train.queue_mib);
        Ok(Self {
            config,
            spec,
            tasks,
            consistency,
            dataset,
            folder,
            train,
            sampler,
            mixes,
            valid,
            losses,
            plan,
            variables,
            model,
            optimizer,
            decision,
            ema,
            last,
            source: Source::Photos,
            queue,
            progress,
            seen: Record::default(),
        })
    }
}
