//! Rules for the final class side by side, on photos that none was tuned on.

use super::all_log_probs;
use super::offsets::Counts;
use crate::data::dataset::{Dataset, person_key};
use crate::data::targets::classes;
use crate::error::{Error, Result};
use crate::model::Logits;
use crate::model::combine::Decision;
use crate::random::rng::{Purpose, keyed};
use crate::taxonomy::Taxonomy;
use rand::Rng;
use serde::Serialize;
use std::collections::BTreeMap;

/// A decision under comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The decision.
    pub decision: Decision,
    /// Macro F1 of the final class on the photos it was tuned on, if any; a tuned one flatters itself there.
    pub valid_macro_f1: Option<f64>,
}

/// How a decision fares.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleScore {
    /// The rule.
    pub rule: String,
    /// Macro F1 of the final class on the validation photos.
    pub valid_macro_f1: Option<f64>,
    /// Macro F1 of the final class on the photos it is scored on.
    pub macro_f1: f64,
    /// Share of them whose final class is right.
    pub accuracy: f64,
    /// Macro F1 less that of the first decision.
    pub difference: f64,
    /// Its 95 % interval, from [`DRAWS`] bootstrap draws of persons (Efron and Tibshirani 1993, percentiles).
    pub interval: [f64; 2],
    /// Whether the interval is on one side of 0.
    pub distinguishable: bool,
}

/// Bootstrap draws.
pub const DRAWS: usize = 2000;

/// Scores decisions on photos with these logits; the first one is what the others are compared to.
///
/// # Errors
/// [`Error::Invalid`] if no photo's final class is known; as [`Decision::log_probs`].
pub fn compare(
    taxonomy: &Taxonomy,
    decided: &[Decided],
    dataset: &Dataset,
    indices: &[usize],
    logits: &[Logits],
    seed: u64,
) -> Result<Vec<RuleScore>> {
    let truth = classes(taxonomy, dataset, indices);
    let known: Vec<usize> = (0..indices.len()).filter(|i| truth[*i].is_some()).collect();
    if known.is_empty() {
        return Err(Error::Invalid {
            what: "the photos to compare decisions on".into(),
            expected: "some whose final class is known".into(),
            found: "none".into(),
        });
    }
    let mut persons = BTreeMap::new();
    for (place, i) in known.iter().enumerate() {
        let person = person_key(&dataset.samples[indices[*i]]);
        persons.entry(person).or_insert(Vec::new()).push(place);
    }
    let persons: Vec<Vec<usize>> = persons.into_values().collect();
    let mut pairs: Vec<Vec<(usize, usize)>> = Vec::new();
    for one in decided {
        let mut of_rule = Vec::with_capacity(known.len());
        for i in &known {
            let log_probs = all_log_probs(&one.decision, taxonomy, &logits[*i])?;
            of_rule.push((
                truth[*i].unwrap_or(0),
                one.decision.decide(taxonomy, &log_probs),
            ));
        }
        pairs.push(of_rule);
    }
    let f1 = |pairs: &[(usize, usize)], drawn: &mut dyn Iterator<Item = usize>| {
        let mut counts = Counts::new(taxonomy.num_classes());
        drawn.for_each(|i| counts.add(pairs[i].0, pairs[i].1, 1.0));
        counts.macro_f1()
    };
    let all: Vec<f64> = pairs.iter().map(|p| f1(p, &mut (0..known.len()))).collect();
    let mut differences = vec![Vec::with_capacity(DRAWS); decided.len()];
    for draw in 0..DRAWS {
        let mut rng = keyed(seed, Purpose::Bootstrap, draw as u64, 0);
        let drawn: Vec<&Vec<usize>> = persons
            .iter()
            .map(|_| &persons[rng.random_range(0..persons.len())])
            .collect();
        let of = |p: &[(usize, usize)]| f1(p, &mut drawn.iter().flat_map(|p| p.iter().copied()));
        let first = of(&pairs[0]);
        for (differences, pairs) in differences.iter_mut().zip(&pairs) {
            differences.push(of(pairs) - first);
        }
    }
    let scores = decided.iter().zip(&pairs).zip(&all).zip(differences);
    Ok(scores
        .map(|(((one, pairs), f1), mut differences)| {
            differences.sort_by(f64::total_cmp);
            let at = |q: f64| differences[(q * (DRAWS - 1) as f64).round() as usize];
            let interval = [at(0.025), at(0.975)];
            let right = pairs.iter().filter(|(t, p)| t == p).count();
            RuleScore {
                rule: one.decision.rule.name().into(),
                valid_macro_f1: one.valid_macro_f1,
                macro_f1: *f1,
                accuracy: right as f64 / pairs.len() as f64,
                difference: f1 - all[0],
                interval,
                distinguishable: interval[0] > 0.0 || interval[1] < 0.0,
            }
        })
        .collect())
}
