//! Whether corrections help: the folds trained again, with the suspects dropped or relabelled.

use super::confident::{Quality, Rule};
use super::finding::Examined;
use super::folds::{FoldTrainer, OutOfFold};
use super::persons::{Agreement, Votes, votes};
use super::question::{Question, known};
use crate::data::dataset::{Dataset, Value};
use crate::data::targets::labels;
use crate::error::Result;
use crate::eval::score::{ScoreReport, Scored};
use crate::experiment::{PairedDifference, mean, paired_difference};
use crate::model::combine::argmax;
use crate::taxonomy::Taxonomy;
use serde::Serialize;
use std::collections::BTreeMap;

/// Confidence of the intervals.
const CONFIDENCE: f64 = 0.95;

/// The folds trained on corrected labels, beside those trained on the labels as given.
///
/// What is corrected among the photos that a model is trained on is found by models that have not seen the held-out fold either
/// (one for each two folds): otherwise corrections would carry what the held-out labels say into the training, and look better
/// than they are. So all are scored alike, on all held-out photos: where labels were made wrong, against the labels from before,
/// else against the given ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retrained {
    /// The labels the figures are scored against, in words.
    pub scored_against: String,
    /// Labels corrected for one fold's training, in the mean, head by head.
    pub corrected: BTreeMap<String, f64>,
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
    /// Mean accuracy over the folds that have photos with its label; none if no fold has.
    pub accuracy: Option<f64>,
    /// Mean macro F1 likewise.
    pub macro_f1: Option<f64>,
    /// Accuracy minus that of the labels as given, fold by fold, with its interval at 95 %; none for these themselves.
    pub accuracy_difference: Option<PairedDifference>,
    /// The same of macro F1.
    pub macro_f1_difference: Option<PairedDifference>,
}

/// What a label is to be: for each head, by place.
type Corrections = Vec<BTreeMap<usize, usize>>;

/// The suspects' likeliest labels. On heads that agree within a person: the vote, for all photos of a suspect person, and the
/// label of most for a photo that disagrees.
fn corrections(
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
            let label = if votes.suspect[place] {
                argmax(votes.row(place))
            } else {
                votes.given[place]
            };
            let wrong = own.iter().filter(|i| question.given[**i] != label);
            corrections.extend(wrong.map(|i| (question.places[*i], label)));
        }
    }
    all
}

/// The data with corrected labels, or without them. A photo whose corrected labels cannot all be true stays as it is.
fn corrected(
    dataset: &Dataset,
    taxonomy: &Taxonomy,
    corrections: &Corrections,
    drop: bool,
) -> Dataset {
    let mut changed = dataset.clone();
    for (head, corrections) in corrections.iter().enumerate() {
        for (place, label) in corrections {
            let value = (!drop).then_some(Value::Label(*label));
            changed.samples[*place].values[head] = value;
        }
    }
    for (sample, as_given) in changed.samples.iter_mut().zip(&dataset.samples) {
        if !taxonomy.is_possible(&labels(&dataset.heads, sample)) {
            sample.values.clone_from(&as_given.values);
        }
    }
    changed
}

/// How suspects are found.
pub(super) struct Suspicion<'a> {
    pub(super) agreements: &'a [Agreement],
    pub(super) rule: Rule,
    pub(super) quality: Quality,
}

impl Suspicion<'_> {
    /// What to correct among the photos at `places`.
    fn corrections(
        &self,
        dataset: &Dataset,
        taxonomy: &Taxonomy,
        found: &OutOfFold,
        places: &[usize],
    ) -> Result<Corrections> {
        let part = Dataset {
            samples: places.iter().map(|p| dataset.samples[*p].clone()).collect(),
            sources: dataset.sources.clone(),
            heads: dataset.heads.clone(),
            corrections: dataset.corrections.clone(),
            skipped: Default::default(),
            seen: Vec::new(),
            contents: Default::default(),
        };
        let questions = Question::all(&part, taxonomy, &found.part(places));
        let votes = votes(&part, &questions, self.agreements, self.rule)?;
        let suspects = questions
            .iter()
            .map(|q| Ok(Examined::new(q, self.rule, self.quality)?.order))
            .collect::<Result<Vec<_>>>()?;
        let of_part = corrections(taxonomy, &questions, &suspects, &votes);
        let back = |of_head: BTreeMap<usize, usize>| {
            let pairs = of_head.into_iter();
            pairs.map(|(i, label)| (places[i], label)).collect()
        };
        Ok(of_part.into_iter().map(back).collect())
    }
}

/// Trains the folds again and compares; `original` is the data from before labels were made wrong, if any were. `None` if
/// stopped.
pub(super) fn retrain(
    trainer: &mut FoldTrainer,
    dataset: &Dataset,
    original: Option<&Dataset>,
    given: &OutOfFold,
    suspicion: &Suspicion,
) -> Result<Option<Retrained>> {
    let taxonomy = trainer.taxonomy.clone();
    let folds = 1 + given.folds.iter().copied().max().unwrap_or(0);
    let pairs = trainer.out_of_two_folds(dataset, &given.folds, folds, "pairs")?;
    let Some(pairs) = pairs else {
        return Ok(None);
    };
    let mut counts = vec![0; taxonomy.heads().len()];
    let mut arms = ["dropped", "relabelled"].map(|n| (n, OutOfFold::new(&taxonomy, &given.folds)));
    for (fold, found) in pairs.iter().enumerate() {
        let trained: Vec<usize> = (0..given.folds.len())
            .filter(|p| given.folds[*p] != fold)
            .collect();
        let corrections = suspicion.corrections(dataset, &taxonomy, found, &trained)?;
        let of_heads = counts.iter_mut().zip(&corrections);
        of_heads.for_each(|(count, c)| *count += c.len());
        for (name, into) in &mut arms {
            trainer.begin(name, fold + 1, folds);
            let data = corrected(dataset, &taxonomy, &corrections, *name == "dropped");
            let run = format!("{name}-{}", fold + 1);
            if !trainer.judge(&data, &[fold], &run, &mut [into])? {
                return Ok(None);
            }
        }
    }
    let truth = original.unwrap_or(dataset);
    let base = reports(&taxonomy, truth, given, folds)?;
    let mut scored = vec![arm("given", &base, None)];
    for (name, found) in &arms {
        scored.push(arm(
            name,
            &reports(&taxonomy, truth, found, folds)?,
            Some(&base),
        ));
    }
    if let Some(original) = original {
        let Some(found) = trainer.out_of_fold(original, &given.folds, folds, "true")? else {
            return Ok(None);
        };
        scored.push(arm(
            "true",
            &reports(&taxonomy, original, &found, folds)?,
            Some(&base),
        ));
    }
    let corrected = taxonomy.heads().iter().zip(&counts);
    Ok(Some(Retrained {
        scored_against: match original {
            Some(_) => "the labels from before some were made wrong",
            None => "the given labels",
        }
        .into(),
        corrected: corrected
            .map(|(head, count)| (head.clone(), *count as f64 / folds as f64))
            .collect(),
        arms: scored,
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
            numbers: Vec::new(),
            sets: Vec::new(),
            groups: Vec::new(),
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
        let figure = if f1 { score.macro_f1 } else { score.accuracy };
        (score.photos > 0).then_some(figure)
    };
    // Each pair is scored on one fold of k and trained on the k − 1 others.
    let ratio = 1.0 / (reports.len().max(2) - 1) as f64;
    let of_head = |head: usize| {
        let values = |f1| -> Vec<f64> {
            let measured = reports.iter().filter_map(|r| figure(r, head, f1));
            measured.collect()
        };
        let difference = |f1| {
            let pairs = base?.iter().zip(reports);
            let all: Vec<f64> = pairs
                .filter_map(|(b, r)| Some(figure(r, head, f1)? - figure(b, head, f1)?))
                .collect();
            paired_difference(&all, ratio, CONFIDENCE)
        };
        let name = reports
            .first()
            .map(|r| r.heads.get(head).unwrap_or(&r.class).name.clone());
        ArmScore {
            head: name.unwrap_or_default(),
            accuracy: mean(&values(false)),
            macro_f1: mean(&values(true)),
            accuracy_difference: difference(false),
            macro_f1_difference: difference(true),
        }
    };
    Arm {
        name: name.into(),
        scores: (0..=names).map(of_head).collect(),
    }
}
