//! An audit from data to files.

use super::confident::{Quality, Rule};
use super::files;
use super::finding::{Examined, suspects};
use super::folds::{Event, FoldTrainer, OutOfFold};
use super::inject::{Flip, Injected, Injection, confusion, inject};
use super::measure::{Measured, measure};
use super::persons::{Agreement, Votes, person_scores, persons, votes};
use super::question::{Question, known};
use super::report::Audit;
use super::retrain::{Suspicion, retrain};
use super::shards::adopt_features;
use crate::data::dataset::Dataset;
use crate::data::split;
use crate::error::{Error, Result};
use crate::experiment::held_out::kept_features;
use crate::io::lock::FolderLock;
use crate::taxonomy::Taxonomy;
use crate::train::config::{Config, load_weights, seen_by_weights};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// How to look for wrong labels.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditConfig {
    /// Folds of persons, at least 2.
    pub folds: usize,
    /// Which labels are suspected.
    pub rule: Rule,
    /// The order of the suspects.
    pub quality: Quality,
    /// Heads whose label agrees over all photos of a person; `None`: as the given labels say.
    pub agreeing: Option<Vec<String>>,
    /// Labels to be made wrong first; `None`: none.
    pub inject: Option<Injection>,
    /// Whether the folds are trained again on corrected labels.
    pub retrain: bool,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            folds: 5,
            rule: Rule::default(),
            quality: Quality::default(),
            agreeing: None,
            inject: None,
            retrain: false,
        }
    }
}

/// An audit, and what a page of it shows.
#[derive(Clone, Debug)]
pub struct Audited {
    /// What was found.
    pub audit: Audit,
    /// The photos looked at, with the labels that were made wrong on purpose.
    pub dataset: Dataset,
    /// What was asked of them.
    pub questions: Vec<Question>,
    /// The features of all photos by a frozen backbone, row by row, if they are kept.
    pub features: Option<Vec<f32>>,
}

/// Audits the labels of `dataset` and writes `audit.json`, `suspects.csv`, `persons.csv` and `out_of_fold.csv` to `out`; `None`
/// if stopped. `heads` is the heads folder, by which pretrained weights are found. Every photo takes part; given splits play no
/// part.
///
/// Runs are kept in `out/runs` until the audit is done, and gone on with if it is started again; features of a frozen backbone in
/// `out/features`, unless the configuration says where, and those that shards have kept there are taken over.
///
/// # Errors
/// [`Error::Invalid`] for folds, as [`split::folds`]; [`Error::UnknownName`] for a head that agrees; anything from reading,
/// training and writing.
pub fn run(
    config: &Config,
    heads: &Path,
    dataset: &Dataset,
    options: &AuditConfig,
    out: &Path,
    stop: &AtomicBool,
    on_event: &mut dyn FnMut(&Event),
) -> Result<Option<Audited>> {
    let taxonomy = config.model_spec()?.taxonomy()?;
    dataset.check_possible(&taxonomy)?;
    let dataset = &Dataset {
        seen: seen_by_weights(config, heads)?,
        ..dataset.clone()
    };
    if let Some(teacher) = &config.train.teacher {
        teacher.check_no_table("an audit")?;
    }
    let seed = config.train.seed;
    if let Some(injection) = options.inject {
        injection.validate()?;
    }
    let agreements = Agreement::of_heads(dataset, &taxonomy, options.agreeing.as_deref())?;
    let folds = split::folds(dataset, options.folds, seed)?;
    let _lock = FolderLock::take(out)?;
    let mut trainer = FoldTrainer {
        config,
        taxonomy: taxonomy.clone(),
        weights: load_weights(config, heads)?,
        runs: out.join("runs"),
        cache: out.join("features"),
        stop,
        on_event,
    };
    adopt_features(config, &trainer.weights, &trainer.cache)?;
    let runs = trainer.runs.clone();
    std::fs::create_dir_all(&runs).map_err(|e| Error::io("create", &runs, e))?;
    let noisy = match options.inject {
        None => None,
        Some(injection) => match made_wrong(
            &mut trainer,
            dataset,
            &agreements,
            injection,
            &folds,
            options.folds,
        )? {
            None => return Ok(None),
            noisy => noisy,
        },
    };
    let looked_at = noisy.as_ref().map_or(dataset, |(noisy, _)| noisy);
    let Some(found) = trainer.out_of_fold(looked_at, &folds, options.folds, "given")? else {
        return Ok(None);
    };
    let questions = Question::all(looked_at, &taxonomy, &found);
    let votes = votes(looked_at, &questions, &agreements, options.rule)?;
    let person_scores = person_scores(looked_at, &questions, &votes)?;
    let mut audit = Audit {
        photos: dataset.samples.len(),
        folds: options.folds,
        rule: options.rule,
        quality: options.quality,
        heads: Vec::new(),
        agreements,
        measured: None,
        retrained: None,
        suspects: Vec::new(),
        persons: persons(looked_at, &questions, &votes)?,
    };
    let mut all_named = Vec::new();
    for (question, by_person) in questions.iter().zip(&person_scores) {
        let examined = Examined::new(question, options.rule, options.quality)?;
        let scores = question.confident()?.quality(options.quality);
        let found = suspects(looked_at, question, &examined, &scores, by_person);
        audit.suspects.extend(found);
        audit.heads.push(examined.head);
        all_named.push(examined.named);
    }
    if let (Some(injection), Some((_, injected))) = (options.inject, &noisy) {
        let Some(trained) = trainer.on_all(looked_at, "all")? else {
            return Ok(None);
        };
        let trained = Question::all(looked_at, &taxonomy, &trained);
        let mut heads = Vec::new();
        for (i, question) in questions.iter().enumerate() {
            let wrong = wrong(dataset, &taxonomy, question);
            let loss = trained[i].confident()?.quality(Quality::SelfConfidence);
            let of_persons = votes[i].as_ref().map(Votes::suspects);
            heads.push(measure(
                question,
                &wrong,
                &person_scores[i],
                &loss,
                &all_named[i],
                of_persons.as_deref(),
            )?);
        }
        audit.measured = Some(Measured {
            injection,
            injected: injected.clone(),
            heads,
        });
    }
    if options.retrain {
        let suspicion = Suspicion {
            agreements: &audit.agreements,
            rule: options.rule,
            quality: options.quality,
        };
        let original = noisy.as_ref().map(|_| dataset);
        match retrain(&mut trainer, looked_at, original, &found, &suspicion)? {
            None => return Ok(None),
            retrained => audit.retrained = retrained,
        }
    }
    files::write(&audit, looked_at, &taxonomy, &found, out)?;
    let features = kept_features(config, &trainer.weights, looked_at, &trainer.cache, stop)?;
    std::fs::remove_dir_all(&runs).map_err(|e| Error::io("remove", &runs, e))?;
    Ok(Some(Audited {
        audit,
        dataset: looked_at.clone(),
        questions,
        features,
    }))
}

/// The data with labels made wrong; `None` if stopped.
fn made_wrong(
    trainer: &mut FoldTrainer,
    dataset: &Dataset,
    agreements: &[Agreement],
    injection: Injection,
    folds: &[usize],
    of: usize,
) -> Result<Option<(Dataset, Vec<Injected>)>> {
    let confusion = match injection.flip {
        Flip::Uniform => None,
        Flip::Confusable => match trainer.out_of_fold(dataset, folds, of, "before")? {
            None => return Ok(None),
            Some(OutOfFold { heads, .. }) => Some(confusion(dataset, &trainer.taxonomy, &heads)),
        },
    };
    let (taxonomy, seed) = (&trainer.taxonomy, trainer.config.train.seed);
    let noisy = inject(
        dataset,
        taxonomy,
        agreements,
        injection,
        confusion.as_deref(),
        seed,
    );
    Ok(Some(noisy))
}

/// Whether each photo's label is another than it was in `original`.
fn wrong(original: &Dataset, taxonomy: &Taxonomy, question: &Question) -> Vec<bool> {
    let known = known(original, taxonomy);
    let head = taxonomy.heads().iter().position(|h| *h == question.name);
    let before = |place: usize| match head {
        Some(head) => known[place][head],
        None => taxonomy.class_of(&known[place]),
    };
    let places = question.places.iter().zip(&question.given);
    places
        .map(|(place, given)| before(*place) != Some(*given))
        .collect()
}
