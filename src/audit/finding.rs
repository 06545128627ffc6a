//! What confident learning finds in one head, or in the final class.

use super::confident::{ConfidentJoint, Noise, Quality, Rule};
use super::question::Question;
use crate::data::dataset::Dataset;
use crate::error::Result;
use serde::Serialize;
use std::collections::BTreeMap;

/// One head's audit, or the final class's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadAudit {
    /// The head's name, or "class".
    pub head: String,
    /// Its labels in order.
    pub labels: Vec<String>,
    /// Photos that have one.
    pub photos: usize,
    /// How good the auditor is: the share of photos for which models that have not seen them say the given label.
    pub auditor: f64,
    /// The share of photos that have the commonest label: what an auditor reaches that sees nothing.
    pub commonest: f64,
    /// Photos whose label is likely wrong, by the rule asked for.
    pub suspects: usize,
    /// The share of photos whose label is wrong, as the joint estimates it.
    pub estimated_wrong: f64,
    /// Photos each rule names.
    pub rules: BTreeMap<Rule, usize>,
    /// Given and suggested labels of the suspects, the commonest first.
    pub pairs: Vec<Pair>,
    /// Thresholds and counts.
    pub confident: ConfidentJoint,
    /// Estimates of how labels are confused.
    pub noise: Noise,
}

/// Suspects with the same given and suggested label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// The given label.
    pub given: String,
    /// The suggested one.
    pub suggested: String,
    /// How many.
    pub suspects: usize,
}

/// A photo whose label is likely wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suspect {
    /// The photo as its listing writes it; where two listings write the same, its whole path. So corrections take it.
    pub path: String,
    /// Its listing, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing: Option<String>,
    /// The person on it, if known.
    pub person: Option<String>,
    /// The head, or "class".
    pub head: String,
    /// The given label.
    pub given: String,
    /// The likeliest other one.
    pub suggested: String,
    /// The score of the given label, from 0 (surely wrong) to 1.
    pub score: f64,
    /// The probability of the suggested label.
    pub suggested_prob: f64,
    /// The score of the given label by all photos of the person; see [`PersonAudit`](super::PersonAudit).
    pub person_score: f64,
    /// The rules that name it.
    pub rules: Vec<Rule>,
}

/// What was found of one question.
pub(super) struct Examined {
    pub(super) head: HeadAudit,
    /// The suspects by their index in the question, the worst label first.
    pub(super) order: Vec<usize>,
    /// The indices of the photos each rule names, ascending.
    pub(super) named: BTreeMap<Rule, Vec<usize>>,
}

impl Examined {
    /// Looks at one question.
    pub(super) fn new(question: &Question, rule: Rule, quality: Quality) -> Result<Self> {
        let given = question.confident()?;
        let confident = given.confident_joint();
        let named: BTreeMap<Rule, Vec<usize>> = Rule::ALL
            .into_iter()
            .map(|rule| Ok((rule, given.issues(&confident, rule, 1)?)))
            .collect::<Result<_>>()?;
        let suspects = given.ranked(&named[&rule], quality)?;
        let noise = Noise::new(&confident);
        let photos = question.places.len();
        let share = |count: usize| count as f64 / photos.max(1) as f64;
        let mut of_label = vec![0; question.labels.len()];
        question
            .given
            .iter()
            .for_each(|label| of_label[*label] += 1);
        let head = HeadAudit {
            head: question.name.clone(),
            labels: question.labels.clone(),
            photos,
            auditor: share((0..photos).filter(|i| question.says_given(*i)).count()),
            commonest: share(of_label.into_iter().max().unwrap_or(0)),
            suspects: suspects.len(),
            estimated_wrong: noise.wrong(),
            rules: named.iter().map(|(r, places)| (*r, places.len())).collect(),
            pairs: pairs(question, &suspects),
            confident,
            noise,
        };
        Ok(Self {
            head,
            order: suspects,
            named,
        })
    }
}

fn pairs(question: &Question, suspects: &[usize]) -> Vec<Pair> {
    let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for i in suspects {
        *counts
            .entry((question.given[*i], question.suggested(*i)))
            .or_default() += 1;
    }
    let mut pairs: Vec<_> = counts.into_iter().collect();
    // Stable: pairs of one count stay in the order of their labels.
    pairs.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let pair = |((given, suggested), suspects): ((usize, usize), usize)| Pair {
        given: question.labels[given].clone(),
        suggested: question.labels[suggested].clone(),
        suspects,
    };
    pairs.into_iter().map(pair).collect()
}

/// The suspects of a question as they are written.
pub(super) fn suspects(
    dataset: &Dataset,
    question: &Question,
    examined: &Examined,
    scores: &[f64],
    person_scores: &[f64],
) -> Vec<Suspect> {
    let names = dataset.unique_names();
    let suspect = |i: &usize| {
        let sample = &dataset.samples[question.places[*i]];
        let suggested = question.suggested(*i);
        let named = examined.named.iter();
        let by_rule = named.filter(|(_, places)| places.binary_search(i).is_ok());
        Suspect {
            path: names[question.places[*i]].clone(),
            listing: dataset.listing(sample),
            person: sample.person.clone(),
            head: question.name.clone(),
            given: question.labels[question.given[*i]].clone(),
            suggested: question.labels[suggested].clone(),
            score: scores[*i],
            suggested_prob: question.row(*i)[suggested],
            person_score: person_scores[*i],
            rules: by_rule.map(|(rule, _)| *rule).collect(),
        }
    };
    examined.order.iter().map(suspect).collect()
}
