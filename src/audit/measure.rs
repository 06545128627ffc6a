//! How many of the labels that were made wrong are found.

use super::confident::{Quality, Rule};
use super::inject::{Injected, Injection};
use super::question::Question;
use crate::error::Result;
use crate::eval::metrics::average_precision;
use serde::Serialize;
use std::collections::BTreeMap;

/// What was made wrong and how much of it was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// What was asked for.
    pub injection: Injection,
    /// What was done, head by head.
    pub injected: Vec<Injected>,
    /// What was found, head by head and for the final class.
    pub heads: Vec<HeadMeasure>,
}

/// What was found of one head, or of the final class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadMeasure {
    /// The head's name, or "class".
    pub head: String,
    /// Photos.
    pub photos: usize,
    /// Photos whose label was made wrong. Labels that were wrong before count as right ones.
    pub injected: usize,
    /// How well an order of all photos puts them first.
    pub rankings: Vec<Ranking>,
    /// For each rule, the share of the photos it names that were made wrong, and the share of those made wrong that it names.
    pub rules: BTreeMap<Rule, Found>,
    /// The same of the photos of suspected persons, on a head that agrees over a person's photos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persons: Option<Found>,
}

/// How well one order of the photos puts the wrong labels first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// What the photos are ordered by: the name of a [`Quality`]; "person", the score with the person as evidence; or
    /// "training_loss", the loss of each photo at the end of a training on all photos. Out-of-fold loss is −log of the
    /// self-confidence, and its order the same.
    pub by: String,
    /// Average precision.
    pub average_precision: Option<f64>,
    /// The share of labels made wrong among as many photos as labels were made wrong, the worst first.
    pub precision_at_injected: f64,
}

/// Precision and recall of a set of photos.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Photos named.
    pub named: usize,
    /// Share of these that were made wrong; 0 of none.
    pub precision: f64,
    /// Share of those made wrong that are named; 0 of none.
    pub recall: f64,
}

/// Measures one question. `wrong` says of each of its photos whether its label was made wrong; the scores of the last two
/// orders and the photos of suspected persons are given.
pub(super) fn measure(
    question: &Question,
    wrong: &[bool],
    person: &[f64],
    trained: &[f64],
    named: &BTreeMap<Rule, Vec<usize>>,
    of_persons: Option<&[usize]>,
) -> Result<HeadMeasure> {
    let given = question.confident()?;
    let by_quality = Quality::ALL.map(|q| (q.name(), given.quality(q)));
    let others = [
        ("person", person.to_vec()),
        ("training_loss", trained.to_vec()),
    ];
    let injected = wrong.iter().filter(|w| **w).count();
    let ranking = |(by, scores): (&str, Vec<f64>)| ranking(by, &scores, wrong, injected);
    let found = |places: &[usize]| {
        let hits = places.iter().filter(|i| wrong[**i]).count() as f64;
        Found {
            named: places.len(),
            precision: hits / places.len().max(1) as f64,
            recall: hits / injected.max(1) as f64,
        }
    };
    Ok(HeadMeasure {
        head: question.name.clone(),
        photos: wrong.len(),
        injected,
        rankings: by_quality.into_iter().chain(others).map(ranking).collect(),
        rules: named
            .iter()
            .map(|(r, places)| (*r, found(places)))
            .collect(),
        persons: of_persons.map(found),
    })
}

fn ranking(by: &str, scores: &[f64], wrong: &[bool], injected: usize) -> Ranking {
    let photos: Vec<(f64, bool)> = scores
        .iter()
        .map(|s| -s)
        .zip(wrong.iter().copied())
        .collect();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let hits = order[..injected].iter().filter(|i| wrong[**i]).count();
    Ranking {
        by: by.into(),
        average_precision: average_precision(&photos),
        precision_at_injected: hits as f64 / injected.max(1) as f64,
    }
}
