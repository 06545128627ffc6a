//! Whether corrections help: the folds trained again, with the suspects dropped or relabelled.

use super::folds::{OutOfFold, Trainer};
use super::persons::Votes;
use super::question::{Question, known};
use crate::combine::argmax;
use crate::error::Result;
use crate::taxonomy::Taxonomy;
use crate::train::dataset::{Dataset, Value};
use crate::train::experiment::{PairedDifference, mean, paired_difference};
use crate::train::score::{ScoreReport, Scored};
use serde::Serialize;
use std::collections::BTreeMap;

/// Confidence of the intervals.
const CONFIDENCE: f64 = 0.95;

/// The folds trained on corrected labels, beside those trained on the labels as given.
///
/// All are scored alike, on the held-out photos. Where labels were made wrong, against the labels from before; else against the given
/// labels of the photos that were not corrected, head by head, since a corrected label would favour the training on corrected labels. What
/// is corrected was found by models that had seen other folds' labels, so without injection the figures are of labels that are
/// held out, not of suspicions that are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retrained {
    /// The labels the figures are scored against, in words.
    pub scored_against: String,
    /// Labels corrected, head by head.
    pub corrected: BTreeMap<String, usize>,
    /// As given, then dropped, then relabelled, then, where labels were made wrong, the labels from before.
    pub arms: Vec<Arm>,
}

/// One way of training the folds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Arm {
    /// "given", "dropped", "relabelled" or "true".
    pub name: String,
    /// Macro F1 and accuracy of each head and of the final class.
    pub scores: Vec<ArmScore>,
}

/// One figure of an arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmScore {
    /// The head's name, or "class".
    pub head: String,
    /// Mean accuracy over the folds.
    pub accuracy: f64,
    /// Mean macro F1 over the folds.
    pub macro_f1: f64,
    /// Accuracy minus that of the labels as given, fold by fold, with its interval at 95 %; none for these themselves.
    pub accuracy_difference: Option<PairedDifference>,
    /// The same of macro F1.
    pub macro_f1_difference: Option<PairedDifference>,
}

/// What a label is to be: for each head, by place.
pub(super) type Corrections = Vec<BTreeMap<usize, usize>>;

/// The suspects' likeliest labels. On heads that agree within a person: the vote, for all photos of a suspect person, and the label of
/// most for a photo that disagrees.
pub(super) fn corrections(
    taxonomy: &Taxonomy,
    questions: &[Question],
    suspects: &[Vec<usize>],
    votes: &[Option<Votes>],
) -> Corrections {
    let mut all = vec![BTreeMap::new(); taxonomy.heads().len()];
    for ((question, suspects), votes) in questions.iter().zip(suspects).zip(votes) {
        let Some(head) = taxonomy.heads().iter().position(|h| *h == question.name) else {
            continue;
        };
        let corrections = &mut all[head];
        let Some(votes) = votes else {
            let one = |i: &usize| (question.places[*i], question.suggested(*i));
            corrections.extend(suspects.iter().map(one));
            continue;
        };
        for (place, own) in votes.members.values().enumerate() {
            let label = match votes.suspect[place] {
                true => argmax(votes.row(place)),
                false => votes.given[place],
            };
            let wrong = own.iter().filter(|i| question.given[**i] != label);
            corrections.extend(wrong.map(|i| (question.places[*i], label)));
        }
    }
    all
}

/// The data with corrected labels, or without them.
fn corrected(dataset: &Dataset, corrections: &Corrections, drop: bool) -> Dataset {
    let mut dataset = dataset.clone();
    for (head, corrections) in corrections.iter().enumerate() {
        for (place, label) in corrections {
            let value = (!drop).then_some(Value::Label(*label));
            dataset.samples[*place].values[head] = value;
        }
    }
    dataset
}

/// Trains the folds again and compares; `original` is the data from before labels were made wrong, if any were. `None` if stopped.
pub(super) fn retrain(
    trainer: &mut Trainer,
    dataset: &Dataset,
    original: Option<&Dataset>,
    given: &OutOfFold,
    corrections: &Corrections,
) -> Result<Option<Retrained>> {
    let mut data = vec![
        ("dropped", corrected(dataset, corrections, true)),
        ("relabelled", corrected(dataset, corrections, false)),
    ];
    data.extend(original.map(|o| ("true", o.clone())));
    let truth = match original {
        Some(original) => original.clone(),
        None => corrected(dataset, corrections, true),
    };
    let taxonomy = trainer.taxonomy.clone();
    // Labels that cannot all be true are no training data.
    for (_, data) in &mut data {
        let labels = known(data, &taxonomy);
        for ((sample, labels), as_given) in
            data.samples.iter_mut().zip(labels).zip(&dataset.samples)
        {
            if !taxonomy.is_possible(&labels) {
                sample.values.clone_from(&as_given.values);
            }
        }
    }
    let folds = 1 + given.folds.iter().copied().max().unwrap_or(0);
    let base = reports(&taxonomy, &truth, given, folds)?;
    let mut arms = vec![arm("given", &base, None)];
    for (name, data) in &data {
        let Some(found) = trainer.out_of_fold(data, &given.folds, folds, name)? else {
            return Ok(None);
        };
        let reports = reports(&taxonomy, &truth, &found, folds)?;
        arms.push(arm(name, &reports, Some(&base)));
    }
    let counts = taxonomy.heads().iter().zip(corrections);
    Ok(Some(Retrained {
        scored_against: match original {
            Some(_) => "the labels from before some were made wrong",
            None => "given labels that were not corrected",
        }
        .into(),
        corrected: counts.map(|(h, c)| (h.clone(), c.len())).collect(),
        arms,
    }))
}

/// The scores of each fold.
fn reports(
    taxonomy: &Taxonomy,
    truth: &Dataset,
    found: &OutOfFold,
    folds: usize,
) -> Result<Vec<ScoreReport>> {
    let known = known(truth, taxonomy);
    let scored = |place: usize| {
        let rows = found.heads.iter().enumerate().map(|(head, probs)| {
            let width = taxonomy.labels(head).len();
            argmax(&probs[place * width..(place + 1) * width])
        });
        Scored {
            truth: known[place].clone(),
            predicted: rows.collect(),
            class: found.class[place],
            probs: Vec::new(),
            class_probs: Vec::new(),
        }
    };
    (0..folds)
        .map(|fold| {
            let held = (0..known.len()).filter(|p| found.folds[*p] == fold);
            ScoreReport::new(taxonomy, &[], &held.map(scored).collect::<Vec<_>>())
        })
        .collect()
}

fn arm(name: &str, reports: &[ScoreReport], base: Option<&[ScoreReport]>) -> Arm {
    let names = reports.first().map(|r| r.heads.len()).unwrap_or(0);
    let figure = |report: &ScoreReport, head: usize, f1: bool| {
        let score = report.heads.get(head).unwrap_or(&report.class);
        if f1 { score.macro_f1 } else { score.accuracy }
    };
    // Each pair is scored on one fold of k and trained on the k − 1 others.
    let ratio = 1.0 / (reports.len().max(2) - 1) as f64;
    let of_head = |head: usize| {
        let values = |f1| -> Vec<f64> { reports.iter().map(|r| figure(r, head, f1)).collect() };
        let difference = |f1| {
            let pairs = base?.iter().zip(reports);
            let all: Vec<f64> = pairs
                .map(|(b, r)| figure(r, head, f1) - figure(b, head, f1))
                .collect();
            paired_difference(&all, ratio, CONFIDENCE)
        };
        let name = reports
            .first()
            .map(|r| r.heads.get(head).unwrap_or(&r.class).name.clone());
        ArmScore {
            head: name.unwrap_or_default(),
            accuracy: mean(&values(false)).unwrap_or(0.0),
            macro_f1: mean(&values(true)).unwrap_or(0.0),
            accuracy_difference: difference(false),
            macro_f1_difference: difference(true),
        }
    };
    Arm {
        name: name.into(),
        scores: (0..=names).map(of_head).collect(),
    }
}
