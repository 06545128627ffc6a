//! Soft labels by models that have not seen the photo's person: targets for another training.

use super::folds::{Event, FoldTrainer};
use crate::data::dataset::{Dataset, Split};
use crate::data::soft_labels::{SoftLabels, SoftRows, names};
use crate::data::split;
use crate::error::{Error, Result};
use crate::experiment::held_out::HeldOut;
use crate::io::lock::FolderLock;
use crate::predict::Prediction;
use crate::train::TeacherConfig;
use crate::train::config::{Config, load_weights};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// How photos are labelled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LabelConfig {
    /// Folds of persons, at least 2.
    pub folds: usize,
    /// Trainings of each fold: after the first the photos without labels are learnt from as well, by what the one before said.
    pub rounds: usize,
    /// Photos without labels are learnt from where a label is at least this likely.
    pub threshold: f64,
}

/// Labels the first `labelled` photos of the data each by a model that was trained without its person, and those behind them,
/// which nobody has labelled, by the mean of all models. `None` if stopped.
///
/// What a model says of a fold rests on no label of that fold: the photos without labels that it learns from in later rounds were
/// labelled by models that had not seen the fold either.
///
/// `runs` holds the trainings, and they are gone on with if it is started again.
///
/// # Errors
/// [`Error::Invalid`] for folds, rounds and threshold; anything from reading, training and writing.
pub(crate) fn label(
    config: &Config,
    heads: &Path,
    (dataset, labelled): (&Dataset, usize),
    options: &LabelConfig,
    runs: &Path,
    stop: &AtomicBool,
    on_event: &mut dyn FnMut(&Event),
) -> Result<Option<SoftLabels>> {
    let fail = |what: &str, expected: &str, found: String| {
        Err(Error::Invalid {
            what: what.into(),
            expected: expected.into(),
            found,
        })
    };
    let all = dataset.samples.len();
    if options.rounds == 0 || options.rounds > 1 && labelled == all {
        let expected = "1, or more with photos without labels, which later rounds learn from";
        return fail("rounds", expected, options.rounds.to_string());
    }
    if !(0.0..=1.0).contains(&options.threshold) {
        return fail(
            "threshold",
            "a probability from 0 to 1",
            options.threshold.to_string(),
        );
    }
    if config.train.teacher.is_some() {
        return fail(
            "train.teacher",
            "none: a teacher may know the labels",
            "one".into(),
        );
    }
    let taxonomy = config.model_spec()?.taxonomy()?;
    dataset.check_possible(&taxonomy)?;
    let mut known = dataset.clone();
    known.samples.truncate(labelled);
    let folds = split::folds(&known, options.folds, config.train.seed)?;
    let _lock = FolderLock::take(runs)?;
    let weights = load_weights(config, heads)?;
    let samples: Vec<_> = dataset.samples.iter().collect();
    let names = names(&samples);
    let unlabelled: Vec<usize> = (labelled..all).collect();
    let mut found = SoftLabels::new(&dataset.heads);
    let mut sums: Vec<SoftRows> = Vec::new();
    for fold in 0..options.folds {
        let held: Vec<usize> = (0..labelled).filter(|i| folds[*i] == fold).collect();
        let mut config = config.clone();
        for round in 1..=options.rounds {
            let number = fold * options.rounds + round;
            let of = options.folds * options.rounds;
            on_event(&Event::Begin {
                title: "label",
                number,
                of,
            });
            let side = |i: usize| match (i < labelled, round) {
                (true, _) if folds[i] != fold => Split::Train,
                (false, 2..) => Split::Train,
                _ => Split::Test,
            };
            let last = round == options.rounds;
            let asked: Vec<usize> = if last {
                held.iter().chain(&unlabelled).copied().collect()
            } else {
                unlabelled.clone()
            };
            let mut trainer = FoldTrainer {
                config: &config,
                taxonomy: taxonomy.clone(),
                weights: weights.clone(),
                runs: runs.to_path_buf(),
                cache: runs.join("features"),
                stop,
                on_event: &mut *on_event,
            };
            let name = format!("fold-{}-{round}", fold + 1);
            let Some(said) = trainer.train(dataset, (0..all).map(side), &name, &asked)? else {
                return Ok(None);
            };
            let rows = rows(dataset, &said)?;
            let (of_held, of_others) = rows.split_at(rows.len() - unlabelled.len());
            if last {
                for (place, row) in held.iter().zip(of_held) {
                    found.insert(names[*place].clone(), row.clone());
                }
                sums = match sums.is_empty() {
                    true => of_others.to_vec(),
                    false => sums
                        .iter()
                        .zip(of_others)
                        .map(|(a, b)| added(a, b))
                        .collect(),
                };
                continue;
            }
            let mut table = SoftLabels::new(&dataset.heads);
            for (place, row) in unlabelled.iter().zip(of_others) {
                table.insert(names[*place].clone(), row.clone());
            }
            let file = runs.join(format!("{name}.csv"));
            table.write(&file)?;
            config.train.teacher = Some(TeacherConfig {
                model: file,
                weight: 1.0,
                temperature: 1.0,
                threshold: options.threshold,
            });
        }
    }
    for (place, row) in unlabelled.iter().zip(sums) {
        let mean = |row: Vec<f32>| row.into_iter().map(|p| p / options.folds as f32).collect();
        let rows = row.into_iter().map(|row| row.map(mean));
        found.insert(names[*place].clone(), rows.collect());
    }
    Ok(Some(found))
}

/// What a model says of photos, head by head; of heads that predict a number nothing.
fn rows(dataset: &Dataset, said: &HeldOut) -> Result<Vec<SoftRows>> {
    let (taxonomy, decision) = (
        said.description.model.taxonomy()?,
        &said.description.decision,
    );
    let of_photo = |logits| -> Result<SoftRows> {
        let said = Prediction::from_logits(&taxonomy, decision, logits)?;
        let heads = said.heads.iter().zip(&dataset.heads);
        let row = heads.map(|(said, head)| {
            let probs = || said.probs.iter().map(|p| *p as f32).collect();
            head.labels.number.is_none().then(probs)
        });
        Ok(row.collect())
    };
    said.logits.iter().map(of_photo).collect()
}

fn added(a: &SoftRows, b: &SoftRows) -> SoftRows {
    let sum = |(a, b): (&Option<Vec<f32>>, &Option<Vec<f32>>)| {
        let (a, b) = (a.as_ref()?, b.as_ref()?);
        Some(a.iter().zip(b).map(|(a, b)| a + b).collect())
    };
    a.iter().zip(b).map(sum).collect()
}
