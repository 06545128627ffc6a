//! The runs an experiment is made of.

use super::changes::{Change, comparable, differences, title};
use super::figure::Figure;
use super::file::{ExperimentFile, GiveUp};
use crate::data::corrections::{Corrections, CorrectionsReport};
use crate::data::dataset::{Dataset, Sample, Split};
use crate::data::seen::check_held_out;
use crate::data::split;
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::input::InputSpec;
use crate::model_file::Tensors;
use crate::shard::Shard;
use crate::tensors::hash::hexadecimal;
use crate::train::config::{Config, load_weights, seen_by_weights};
use crate::train::run_folder::Beginning;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The baseline, or a variant of it.
#[derive(Clone, Debug)]
pub struct Variant {
    /// What is changed, in the form of settings.
    pub title: String,
    /// What is changed, value by value.
    pub changes: Vec<Change>,
    /// The whole configuration.
    pub config: Config,
    /// What its corrections do to all photos.
    pub corrected: CorrectionsReport,
    corrections: Corrections,
    /// The photos with its heads' values, not corrected, in the order of the baseline's.
    dataset: Dataset,
}

/// One run: a variant, a fold held out, a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    /// Place among the variants; 0 is the baseline.
    pub variant: usize,
    /// The fold that is held out, counted from 1.
    pub fold: usize,
    /// The seed.
    pub seed: u64,
    /// SHA-256, in hexadecimal, over configuration, pretrained weights, photos in their order, persons and sides: equal ones
    /// are one run.
    pub fingerprint: String,
    /// [`Dataset::fingerprint`] of the photos with their sides.
    pub data: String,
}

impl PlannedRun {
    /// The name of its folder, which follows from what it is.
    pub fn folder(&self) -> String {
        let (fold, seed) = (self.fold, self.seed);
        format!("fold{fold}-seed{seed}-{}", &self.fingerprint[..12])
    }
}

/// An experiment ready to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The baseline, then the variants in the file's order.
    pub variants: Vec<Variant>,
    /// The runs in the order they are done: seed by seed, fold by fold, and in each fold every variant, the baseline first. So
    /// whenever it ends, all variants have been tried on the same folds.
    pub runs: Vec<PlannedRun>,
    /// Number of folds.
    pub folds: usize,
    /// What is compared, the first one deciding.
    pub metrics: Vec<Figure>,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// Minutes the runs may take; `None`: no limit.
    pub minutes: Option<f64>,
    /// When a variant is given up; `None`: never.
    pub give_up: Option<GiveUp>,
    /// Which of the runs are done here, beside other workers in the same folder; `None`: all.
    pub(crate) shard: Option<Shard>,
    pub(crate) heads: PathBuf,
    /// The side of each photo, by seed and fold.
    sides: BTreeMap<(u64, usize), Vec<Option<Split>>>,
}

impl Plan {
    /// Resolves the configurations, reads the listings and divides the persons into folds. Folds are those of the baseline's
    /// labels, the same for every variant. `origin` is what errors call the file. `look` may leave photos of the baseline's out,
    /// with the input they are prepared for, before anything is planned; `None` if it gives false.
    ///
    /// # Errors
    /// As [`Config::load`], naming the variant; [`Error::Invalid`] if a variant changes nothing or is there twice, or there is no
    /// data; [`Error::UnknownName`] if a metric is of a head that no variant has; as [`Dataset::open`] and [`split::folds`]; what
    /// `look` gives.
    pub fn of_readable(
        file: &ExperimentFile,
        origin: &str,
        look: &mut dyn FnMut(&mut Dataset, &InputSpec) -> Result<bool>,
    ) -> Result<Option<Self>> {
        if file.data.is_empty() {
            return Err(Error::Invalid {
                what: format!("{origin}, data"),
                expected: "listings or person folders there, or given beside the file".into(),
                found: "none".into(),
            });
        }
        let mut variants: Vec<Variant> = Vec::new();
        let none = Vec::new();
        let changed = file.variants.iter().map(|v| &v.set);
        for (place, set) in std::iter::once(&none).chain(changed).enumerate() {
            let variant = resolve(file, set, place, origin, &variants)?;
            variants.push(variant);
        }
        let mut looked_at = BTreeSet::new();
        for variant in &variants {
            let teacher = variant.config.train.teacher.as_ref();
            if let Some(teacher) = teacher {
                teacher.check_no_table("an experiment")?;
            }
            let teacher = teacher.map(|t| &t.model);
            if looked_at.insert((&variant.config.model.weights, teacher)) {
                let seen = seen_by_weights(&variant.config, &file.heads)?;
                check_held_out(&variant.dataset, seen)?;
            }
        }
        if !leave_readable(&mut variants, look)? {
            return Ok(None);
        }
        let valid = variants[0].config.train.split.valid;
        let mut sides = BTreeMap::new();
        let mut runs = Vec::new();
        let mut weights = BTreeMap::new();
        for seed in &file.seeds {
            for fold in 0..file.folds {
                let base = &mut variants[0].dataset;
                split::assign_fold(base, file.folds, fold, valid, *seed)?;
                let here: Vec<Option<Split>> = base.samples.iter().map(|s| s.split).collect();
                for (place, variant) in variants.iter().enumerate() {
                    let dataset = corrected(variant, &variants[0], &here)?;
                    runs.push(PlannedRun {
                        variant: place,
                        fold: fold + 1,
                        seed: *seed,
                        fingerprint: fingerprint(
                            variant,
                            *seed,
                            &dataset,
                            &file.heads,
                            &mut weights,
                        )?,
                        data: dataset.fingerprint(),
                    });
                }
                sides.insert((*seed, fold + 1), here);
            }
        }
        let metrics = if file.metrics.is_empty() {
            Figure::usual(&variants[0].config.model.heads)
        } else {
            file.metrics.clone()
        };
        check_metrics(&metrics, &variants)?;
        Ok(Some(Self {
            variants,
            runs,
            folds: file.folds,
            metrics,
            confidence: file.confidence,
            minutes: file.minutes,
            give_up: file.give_up,
            shard: None,
            heads: file.heads.clone(),
            sides,
        }))
    }

    /// The configuration of a run; features of a frozen backbone are kept in `features`, unless it says where.
    pub(crate) fn config(&self, run: &PlannedRun, features: &Path) -> Config {
        let mut config = self.variants[run.variant].config.clone();
        config.train.seed = run.seed;
        if config.train.keeps_features() && config.train.feature_cache.is_none() {
            config.train.feature_cache = Some(features.into());
        }
        config
    }

    /// The photos of a run on their sides.
    pub(crate) fn dataset(&self, run: &PlannedRun) -> Result<Dataset> {
        let none = Vec::new();
        let sides = self.sides.get(&(run.seed, run.fold)).unwrap_or(&none);
        corrected(&self.variants[run.variant], &self.variants[0], sides)
    }
}

/// A variant's photos on their sides. Its corrections hold for what it learns from; what is held out is corrected as the
/// baseline's, so that all variants are measured on the same labels.
fn corrected(variant: &Variant, baseline: &Variant, sides: &[Option<Split>]) -> Result<Dataset> {
    let mut dataset = variant.dataset.clone();
    for (sample, side) in dataset.samples.iter_mut().zip(sides) {
        sample.split = *side;
    }
    let held_out = |s: &Sample| s.split == Some(Split::Test);
    variant
        .corrections
        .change(&mut dataset, &|s| !held_out(s))?;
    baseline.corrections.change(&mut dataset, &held_out)?;
    dataset.corrections = variant.corrections.files().to_vec();
    Ok(dataset)
}

/// Leaves of all variants' photos, which are the same in all, those that `look` leaves of the baseline's.
fn leave_readable(
    variants: &mut [Variant],
    look: &mut dyn FnMut(&mut Dataset, &InputSpec) -> Result<bool>,
) -> Result<bool> {
    let input = variants[0].config.model.input.clone();
    let place = |s: &Sample| (s.source, s.row, s.name.clone());
    let before: Vec<_> = variants[0].dataset.samples.iter().map(place).collect();
    if !look(&mut variants[0].dataset, &input)? {
        return Ok(false);
    }
    let left: BTreeSet<_> = variants[0].dataset.samples.iter().map(place).collect();
    let gone: BTreeSet<usize> = (0..before.len())
        .filter(|i| !left.contains(&before[*i]))
        .collect();
    for variant in &mut variants[1..] {
        variant.dataset.take_out(&gone);
    }
    Ok(true)
}

/// Variant number `place`, 0 being the baseline.
fn resolve(
    file: &ExperimentFile,
    set: &[String],
    place: usize,
    origin: &str,
    before: &[Variant],
) -> Result<Variant> {
    let name = match place {
        0 => "the baseline".to_string(),
        place => format!("variant {place}"),
    };
    let settings: Vec<String> = file.set.iter().chain(set).cloned().collect();
    let config =
        Config::load(&file.heads, file.config.as_deref(), &settings).map_err(|e| match e {
            Error::Config {
                origin: at,
                message,
                source,
            } => Error::Config {
                origin: format!("{origin}, {name}: {at}"),
                message,
                source,
            },
            other => other.about(|what| format!("{origin}, {name}: {what}")),
        })?;
    let table = comparable(&config)?;
    for (i, other) in before.iter().enumerate() {
        if comparable(&other.config)? == table {
            return Err(Error::Invalid {
                what: format!("{origin}, {name} ({})", set.join(", ")),
                expected: "values that differ from the baseline's and from every other variant's"
                    .into(),
                found: match i {
                    0 => "the baseline again".into(),
                    i => format!("variant {i} again"),
                },
            });
        }
    }
    let changes = match before.first() {
        Some(baseline) => differences(&comparable(&baseline.config)?, &table),
        None => Vec::new(),
    };
    let dataset = Dataset::open_as(
        &file.data,
        &config.model_spec()?.heads,
        &config.model.columns,
    );
    let dataset = dataset.map_err(|e| match e {
        Error::Data { path, row, message } => Error::Data {
            path,
            row,
            message: format!("{message}; {origin}, {name}, reads it"),
        },
        other => other,
    })?;
    // Found now and not hours later, when it is this variant's turn.
    for (i, head) in dataset.heads.iter().enumerate() {
        if dataset.samples.iter().all(|s| s.values[i].is_none()) {
            return Err(Error::Invalid {
                what: format!("{origin}, {name}: column `{}` of the data", head.column()),
                expected: format!("labels for the head `{}`", head.name),
                found: "none".into(),
            });
        }
    }
    let corrections = Corrections::read(&config.train.corrections)?;
    Ok(Variant {
        title: title(&changes),
        corrected: corrections.apply(&mut dataset.clone())?,
        corrections,
        changes,
        config,
        dataset,
    })
}

fn fingerprint(
    variant: &Variant,
    seed: u64,
    dataset: &Dataset,
    heads: &Path,
    weights: &mut BTreeMap<String, String>,
) -> Result<String> {
    let config = &variant.config;
    // The file is the same for all seeds and folds, and mostly for all variants.
    let key = format!(
        "{:?} {:?} {:?}",
        config.model.weights, config.model.backbone, config.model.heads
    );
    let of_weights = match weights.get(&key) {
        Some(known) => known.clone(),
        None => {
            let found = of_tensors(&load_weights(config, heads)?)?;
            weights.insert(key, found.clone());
            found
        }
    };
    let of_teacher = match &config.train.teacher {
        Some(teacher) => {
            let bytes = crate::io::read::bytes(&teacher.model, u64::MAX)?;
            hexadecimal(Sha256::digest(bytes))
        }
        None => String::new(),
    };
    let config = serde_json::to_string(&comparable(config)?).map_err(|e| Error::Config {
        origin: "the configuration".into(),
        message: "cannot be written as JSON".into(),
        source: Some(e.into()),
    })?;
    // A run goes on only with the same rows in the same order.
    let data = dataset.fingerprint();
    let [order, persons] = Beginning::rows(dataset);
    let mut hash = Sha256::new();
    hash.update(format!(
        "{config}\n{seed}\n{of_weights}\n{data}\n{order}\n{persons}\n{of_teacher}"
    ));
    Ok(hexadecimal(hash.finalize()))
}

fn of_tensors(tensors: &Tensors) -> Result<String> {
    let mut hash = Sha256::new();
    for (name, tensor) in tensors {
        hash.update(format!("{name:?} {:?}\n", tensor.dims()));
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        hash.update(&bytes);
    }
    Ok(hexadecimal(hash.finalize()))
}

fn check_metrics(metrics: &[Figure], variants: &[Variant]) -> Result<()> {
    let mut known: Vec<String> = Vec::new();
    for name in variants.iter().flat_map(|v| &v.config.model.heads) {
        if !known.contains(name) {
            known.push(name.clone());
        }
    }
    for figure in metrics {
        if let Some(head) = figure.head.as_ref().filter(|h| !known.contains(h)) {
            return Err(Error::UnknownName {
                what: "head",
                found: head.clone(),
                known,
            });
        }
        let asked = |h: &&HeadSpec| Some(&h.name) == figure.head.as_ref();
        let heads = || variants.iter().flat_map(|v| &v.dataset.heads).filter(asked);
        let expected = if figure.metric.needs_order() && !heads().any(HeadSpec::is_ordered) {
            "a head whose labels have an order: one with `thresholds` or `ordered = true`"
        } else if figure.metric.needs_number() && !heads().any(|h| h.labels.number.is_some()) {
            "a head that predicts a number: one with `kind = \"number\"`"
        } else if figure.metric.needs_groups() && !heads().any(|h| !h.labels.groups.is_empty()) {
            "a head whose labels are in groups: one with `groups`"
        } else {
            continue;
        };
        return Err(Error::Invalid {
            what: format!("metrics, {figure}"),
            expected: expected.into(),
            found: match &figure.head {
                Some(head) => format!("the head `{head}`"),
                None => "the final class".into(),
            },
        });
    }
    Ok(())
}
