//! Probabilities of every photo by a model that has not seen its person.

use crate::data::dataset::{Dataset, Split};
use crate::error::{Error, Result};
use crate::eval::score::MAX_CONFUSION;
use crate::experiment::held_out::HeldOut;
use crate::model::combine::{argmax, label_log_probs};
use crate::model_file::Tensors;
use crate::taxonomy::Taxonomy;
use crate::train::config::{Config, Defaults, FineTune};
use crate::train::run_folder::{Beginning, RunFolder};
use crate::train::trainer::{self, Trainer};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// What an audit tells while it goes on.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A model is trained.
    Begin {
        /// What for.
        title: &'a str,
        /// Which of the models for that, counted from 1.
        number: usize,
        /// How many there are.
        of: usize,
    },
    /// Something of its training.
    Training(&'a trainer::Event<'a>),
}

/// The configuration of an audit: as [`Config::load`], but with a frozen backbone and neither augmentation nor mixing unless
/// `train.fine_tune` is given, so that only heads are trained, on features computed once.
///
/// # Errors
/// As [`Config::load`].
pub fn load_config(heads: &Path, file: Option<&Path>, settings: &[String]) -> Result<Config> {
    const FROZEN: [&str; 4] = [
        "train.fine_tune=frozen",
        "train.augment.flip=0",
        "train.mix_up=0",
        // As the figures in the guide were taken with.
        "train.epochs=8",
    ];
    let config = Config::load_over(Defaults::Settings(&FROZEN), heads, file, settings)?;
    match config.train.fine_tune {
        FineTune::Frozen => Ok(config),
        _ => Config::load(heads, file, settings),
    }
}

/// For each photo of a data set what a model says that was trained on other persons.
#[derive(Clone, Debug, PartialEq)]
pub struct OutOfFold {
    /// The fold of each photo, from 0.
    pub folds: Vec<usize>,
    /// For each head the probabilities of its labels, photo after photo; where a head does not always apply, given that it does.
    pub heads: Vec<Vec<f64>>,
    /// The probabilities of the final classes, photo after photo; empty above [`MAX_CONFUSION`] classes.
    pub classes: Vec<f64>,
    /// The likeliest final class of each photo.
    pub class: Vec<usize>,
}

impl OutOfFold {
    pub(super) fn new(taxonomy: &Taxonomy, folds: &[usize]) -> Self {
        let photos = folds.len();
        let classes = Some(taxonomy.num_classes()).filter(|c| *c <= MAX_CONFUSION);
        let heads = 0..taxonomy.heads().len();
        Self {
            folds: folds.to_vec(),
            heads: heads
                .map(|head| vec![0.0; photos * taxonomy.labels(head).len()])
                .collect(),
            classes: vec![0.0; photos * classes.unwrap_or(0)],
            class: vec![0; photos],
        }
    }

    /// What is said of some photos alone.
    pub(super) fn part(&self, places: &[usize]) -> Self {
        let photos = self.folds.len();
        let rows = |all: &Vec<f64>| -> Vec<f64> {
            let width = all.len() / photos;
            let row = |p: &usize| &all[p * width..(p + 1) * width];
            places.iter().flat_map(row).copied().collect()
        };
        Self {
            folds: places.iter().map(|p| self.folds[*p]).collect(),
            heads: self.heads.iter().map(rows).collect(),
            classes: rows(&self.classes),
            class: places.iter().map(|p| self.class[*p]).collect(),
        }
    }

    /// Takes what a model says of the photos at `places`.
    fn take(&mut self, taxonomy: &Taxonomy, places: &[usize], found: &HeldOut) -> Result<()> {
        for (place, logits) in places.iter().zip(&found.logits) {
            let log_probs = label_log_probs(taxonomy, logits);
            let decision = &found.description.decision;
            let classes = decision.log_probs(taxonomy, &log_probs)?;
            self.class[*place] = argmax(&classes);
            put(&mut self.classes, *place, &classes);
            for (all, own) in self.heads.iter_mut().zip(&log_probs.heads) {
                put(all, *place, own);
            }
        }
        Ok(())
    }
}

/// Puts the probabilities of one photo in their place, if there is room for them.
fn put(all: &mut [f64], place: usize, log_probs: &[f64]) {
    let row = all.iter_mut().skip(place * log_probs.len());
    row.zip(log_probs).for_each(|(p, l)| *p = l.exp());
}

/// Trains what an audit needs, each run in a folder of its own.
pub(super) struct FoldTrainer<'a> {
    pub(super) config: &'a Config,
    pub(super) taxonomy: Taxonomy,
    pub(super) weights: Tensors,
    /// The folder of the runs.
    pub(super) runs: PathBuf,
    /// Where features of a frozen backbone are kept.
    pub(super) cache: PathBuf,
    pub(super) stop: &'a AtomicBool,
    pub(super) on_event: &'a mut dyn FnMut(&Event),
}

impl FoldTrainer<'_> {
    /// Trains a model for each of `of` folds on the labels of `dataset`; `title` names what for. `None` if stopped.
    pub(super) fn out_of_fold(
        &mut self,
        dataset: &Dataset,
        folds: &[usize],
        of: usize,
        title: &str,
    ) -> Result<Option<OutOfFold>> {
        let mut all = OutOfFold::new(&self.taxonomy, folds);
        for fold in 0..of {
            self.begin(title, fold + 1, of);
            let name = format!("{title}-{}", fold + 1);
            let whole = self.judge(dataset, &[fold], &name, &mut [&mut all])?;
            if !whole {
                return Ok(None);
            }
        }
        Ok(Some(all))
    }

    /// Trains a model for each two of `of` folds, on the others. Gives, for each fold, what models that have not seen it say of
    /// the other folds' photos, each by one that has not seen that photo's fold either; of the fold's own photos they say
    /// nothing. `None` if stopped.
    pub(super) fn out_of_two_folds(
        &mut self,
        dataset: &Dataset,
        folds: &[usize],
        of: usize,
        title: &str,
    ) -> Result<Option<Vec<OutOfFold>>> {
        let mut all = vec![OutOfFold::new(&self.taxonomy, folds); of];
        let pairs = (0..of).flat_map(|b| (0..b).map(move |a| (a, b)));
        for (number, (a, b)) in pairs.enumerate() {
            self.begin(title, number + 1, of * (of - 1) / 2);
            let name = format!("{title}-{}-{}", a + 1, b + 1);
            let (before, after) = all.split_at_mut(b);
            // What is said of fold b's photos is for fold a, and the other way round.
            let mut both = [&mut after[0], &mut before[a]];
            if !self.judge(dataset, &[a, b], &name, &mut both)? {
                return Ok(None);
            }
        }
        Ok(Some(all))
    }

    /// Trains on all folds but those `held`, and asks about the photos of each of these; `into` takes the answers, one a held
    /// fold. False if stopped.
    pub(super) fn judge(
        &mut self,
        dataset: &Dataset,
        held: &[usize],
        name: &str,
        into: &mut [&mut OutOfFold],
    ) -> Result<bool> {
        let folds = into[0].folds.clone();
        let sides = folds.iter().map(|f| {
            if held.contains(f) {
                Split::Test
            } else {
                Split::Train
            }
        });
        let of_fold = |fold: &usize| -> Vec<usize> {
            let all = 0..folds.len();
            all.filter(|i| folds[*i] == *fold).collect()
        };
        let asked: Vec<Vec<usize>> = held.iter().map(of_fold).collect();
        let Some(mut found) = self.train(dataset, sides, name, &asked.concat())? else {
            return Ok(false);
        };
        for (asked, into) in asked.iter().zip(into) {
            let rest = found.logits.split_off(asked.len());
            into.take(&self.taxonomy, asked, &found)?;
            found.logits = rest;
        }
        Ok(true)
    }

    pub(super) fn begin(&mut self, title: &str, number: usize, of: usize) {
        (self.on_event)(&Event::Begin { title, number, of });
    }

    /// Trains a model on all photos and asks it about these same photos. `None` if stopped.
    pub(super) fn on_all(&mut self, dataset: &Dataset, title: &str) -> Result<Option<OutOfFold>> {
        self.begin(title, 1, 1);
        let places: Vec<usize> = (0..dataset.samples.len()).collect();
        let sides = places.iter().map(|_| Split::Train);
        let Some(found) = self.train(dataset, sides, title, &places)? else {
            return Ok(None);
        };
        let mut all = OutOfFold::new(&self.taxonomy, &vec![0; places.len()]);
        all.take(&self.taxonomy, &places, &found)?;
        Ok(Some(all))
    }

    /// Trains on the photos that stand on that side, and asks about others. `None` if stopped.
    pub(super) fn train(
        &mut self,
        dataset: &Dataset,
        sides: impl Iterator<Item = Split>,
        name: &str,
        asked: &[usize],
    ) -> Result<Option<HeldOut>> {
        let mut dataset = dataset.clone();
        for (sample, side) in dataset.samples.iter_mut().zip(sides) {
            sample.split = Some(side);
        }
        let mut config = self.config.clone();
        // Offsets leave probabilities as they are, and no side is set apart to tune them or to stop early by.
        if config.train.decision.is_tuned() {
            config.train.decision = Default::default();
        }
        config.train.patience = 0;
        if config.train.keeps_features() && config.train.feature_cache.is_none() {
            config.train.feature_cache = Some(self.cache.clone());
        }
        let folder = self.runs.join(name);
        let resume = is_begun(&folder, &config, &dataset)?;
        let outcome = Trainer::new(&config, self.weights.clone(), &dataset)
            .out(&folder)
            .resume(resume)
            .stop(self.stop)
            .on_event(|event| (self.on_event)(&Event::Training(event)))
            .run()?;
        if outcome.stopped {
            return Ok(None);
        }
        HeldOut::new(&config, &dataset, asked, &folder, &self.cache, self.stop)
    }
}

/// Whether a folder holds a run of this configuration on these labels, to go on with; another run in it is taken away.
fn is_begun(folder: &Path, config: &Config, dataset: &Dataset) -> Result<bool> {
    if !RunFolder::holds_run(folder) {
        return Ok(false);
    }
    let progress = RunFolder::create(folder, true)?.read_state()?.0;
    let same = progress.began == Some(Beginning::new(config, dataset, &[])?);
    if same && progress.data == dataset.fingerprint() {
        return Ok(true);
    }
    std::fs::remove_dir_all(folder).map_err(|e| Error::io("remove", folder, e))?;
    Ok(false)
}
