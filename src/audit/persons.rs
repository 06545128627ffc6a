//! The person as evidence: all photos of one person agree on some heads, whatever else differs between them.

use super::confident::{Quality, Rule};
use super::question::Question;
use crate::data::dataset::{Dataset, PersonKey, person_key};
use crate::error::{Error, Result};
use crate::model::combine::argmax;
use crate::taxonomy::Taxonomy;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The share of persons with one given label from which on a head is taken to agree within each person.
const NEARLY_ALL: f64 = 0.9;

/// Whether the photos of a person agree on a head.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// The head.
    pub head: String,
    /// Persons with at least two photos that have its label.
    pub persons: usize,
    /// Those of them whose photos are all given one label.
    pub of_one_label: usize,
    /// Whether the head is taken to agree: nine tenths of the persons do, or it was said.
    pub agrees: bool,
}

impl Agreement {
    /// Looks at the given labels of every head; `said` names the heads that agree, instead.
    ///
    /// # Errors
    /// [`Error::UnknownName`] if `said` names no head, [`Error::Invalid`] if it names one of several labels at once.
    pub fn of_heads(
        dataset: &Dataset,
        taxonomy: &Taxonomy,
        said: Option<&[String]>,
    ) -> Result<Vec<Self>> {
        let heads = taxonomy.heads();
        let unknown = said.into_iter().flatten().find(|s| !heads.contains(s));
        if let Some(name) = unknown {
            return Err(Error::UnknownName {
                what: "head",
                found: name.clone(),
                known: heads.to_vec(),
            });
        }
        let is_said = |name: &String| said.is_some_and(|said| said.contains(name));
        let several =
            |(place, name): &(usize, &String)| taxonomy.is_multi_label(*place) && is_said(name);
        if let Some((_, name)) = heads.iter().enumerate().find(several) {
            return Err(Error::Invalid {
                what: "heads that agree within a person".into(),
                expected: "heads of which a photo has one label".into(),
                found: format!("`{name}`, of `kind = \"multi_label\"`"),
            });
        }
        let known = super::question::known(dataset, taxonomy);
        let of_head = |(head, name): (usize, &String)| {
            let mut labels: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for (sample, known) in dataset.samples.iter().zip(&known) {
                if let (Some(person), Some(label)) = (&sample.person, known[head]) {
                    labels.entry(person).or_default().push(label);
                }
            }
            let several = labels.values().filter(|l| l.len() > 1);
            let persons = several.clone().count();
            let of_one_label = several.filter(|l| l.iter().all(|o| *o == l[0])).count();
            let most = persons > 0 && of_one_label as f64 >= NEARLY_ALL * persons as f64;
            Self {
                head: name.clone(),
                persons,
                of_one_label,
                agrees: said.map_or(most, |said| said.contains(name)),
            }
        };
        Ok(heads.iter().enumerate().map(of_head).collect())
    }
}

/// A person some of whose labels may be wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PersonAudit {
    /// The person.
    pub person: String,
    /// Photos of them.
    pub photos: usize,
    /// The least score among the heads.
    pub score: f64,
    /// Heads whose label is likely wrong on all photos.
    pub suspect_heads: usize,
    /// Photos on which a head that differs from photo to photo is confidently predicted to be something else than given.
    pub contradictions: Vec<String>,
    /// The heads on which the photos of a person agree.
    pub heads: Vec<PersonHead>,
}

/// What one person's photos say of one head.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PersonHead {
    /// The head.
    pub head: String,
    /// The label most of the photos are given, the first of equals.
    pub given: String,
    /// The label the photos vote for: the greatest mean log-probability.
    pub vote: String,
    /// The probability of the given label by that vote.
    pub score: f64,
    /// Whether the given label is likely wrong on all photos: confident learning on persons, by the rule asked for.
    pub suspect: bool,
    /// Photos that are given another label than most.
    pub disagreeing: Vec<String>,
}

/// The votes on one head.
pub(super) struct Votes<'a> {
    pub(super) question: &'a Question,
    /// For each person the indices of their photos in the question.
    pub(super) members: BTreeMap<PersonKey<'a>, Vec<usize>>,
    /// For each person the vote, in the order of `members`.
    probs: Vec<f64>,
    /// For each person the label most are given.
    pub(super) given: Vec<usize>,
    /// Whether a person's label is likely wrong.
    pub(super) suspect: Vec<bool>,
}

impl<'a> Votes<'a> {
    pub(super) fn new(dataset: &'a Dataset, question: &'a Question, rule: Rule) -> Result<Self> {
        let mut members: BTreeMap<PersonKey, Vec<usize>> = BTreeMap::new();
        for (i, place) in question.places.iter().enumerate() {
            let key = person_key(&dataset.samples[*place]);
            members.entry(key).or_default().push(i);
        }
        let width = question.labels.len();
        let (mut probs, mut given) = (Vec::new(), Vec::new());
        for own in members.values() {
            let mut log = vec![0.0; width];
            let mut counts = vec![0.0; width];
            for i in own {
                counts[question.given[*i]] += 1.0;
                for (sum, p) in log.iter_mut().zip(question.row(*i)) {
                    *sum += p.max(f64::MIN_POSITIVE).ln() / own.len() as f64;
                }
            }
            let most = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let exp: Vec<f64> = log.iter().map(|l| (l - most).exp()).collect();
            let sum: f64 = exp.iter().sum();
            probs.extend(exp.iter().map(|e| e / sum));
            given.push(argmax(&counts));
        }
        let mut votes = Self {
            question,
            suspect: vec![false; given.len()],
            members,
            probs,
            given,
        };
        let persons = Question {
            name: question.name.clone(),
            labels: question.labels.clone(),
            places: (0..votes.given.len()).collect(),
            given: votes.given.clone(),
            probs: votes.probs.clone(),
        };
        let confident = persons.confident()?;
        let issues = confident.issues(&confident.confident_joint(), rule, 1)?;
        issues.into_iter().for_each(|i| votes.suspect[i] = true);
        Ok(votes)
    }

    /// The vote of the person at `place` among the members.
    pub(super) fn row(&self, place: usize) -> &[f64] {
        let width = self.question.labels.len();
        &self.probs[place * width..(place + 1) * width]
    }

    /// The photos of the persons whose label is likely wrong.
    pub(super) fn suspects(&self) -> Vec<usize> {
        let persons = self.members.values().zip(&self.suspect);
        let suspects = persons.filter(|(_, suspect)| **suspect);
        suspects.flat_map(|(own, _)| own).copied().collect()
    }

    /// For each photo of the question the score of its given label by the person's vote, times the share of the person's photos
    /// that are given the same: a label that stands alone among the person's is worth little.
    fn scores(&self) -> Vec<f64> {
        let mut scores = vec![0.0; self.question.places.len()];
        for (place, own) in self.members.values().enumerate() {
            for i in own {
                let label = self.question.given[*i];
                let same = own.iter().filter(|j| self.question.given[**j] == label);
                let share = same.count() as f64 / own.len() as f64;
                scores[*i] = self.row(place)[label] * share;
            }
        }
        scores
    }
}

/// The votes on the heads whose label agrees within a person; `None` for the others.
pub(super) fn votes<'a>(
    dataset: &'a Dataset,
    questions: &'a [Question],
    agreements: &[Agreement],
    rule: Rule,
) -> Result<Vec<Option<Votes<'a>>>> {
    let agree = |q: &Question| agreements.iter().any(|a| a.agrees && a.head == q.name);
    let of = |q: &'a Question| {
        if agree(q) {
            Votes::new(dataset, q, rule).map(Some)
        } else {
            Ok(None)
        }
    };
    questions.iter().map(of).collect()
}

/// For each question and each of its photos the score of the given label with the person as evidence: by the votes where the head
/// agrees within a person, the photo's self-confidence where not, and for the final class the product over the photo's heads.
pub(super) fn person_scores(
    dataset: &Dataset,
    questions: &[Question],
    votes: &[Option<Votes>],
) -> Result<Vec<Vec<f64>>> {
    let mut product = vec![1.0; dataset.samples.len()];
    let mut all = Vec::new();
    for (question, votes) in questions.iter().zip(votes) {
        let scores = match (votes, question.name.as_str()) {
            (Some(votes), _) => votes.scores(),
            (None, "class") => question.places.iter().map(|p| product[*p]).collect(),
            (None, _) => question.confident()?.quality(Quality::SelfConfidence),
        };
        for (place, score) in question.places.iter().zip(&scores) {
            product[*place] *= score;
        }
        all.push(scores);
    }
    Ok(all)
}

/// Every known person with the votes of their photos, the likeliest wrong first.
pub(super) fn persons(
    dataset: &Dataset,
    questions: &[Question],
    votes: &[Option<Votes>],
) -> Result<Vec<PersonAudit>> {
    let names = dataset.unique_names();
    let mut all: BTreeMap<&str, PersonAudit> = BTreeMap::new();
    for sample in &dataset.samples {
        if let Some(person) = &sample.person {
            let entry = all.entry(person).or_insert_with(|| PersonAudit {
                person: person.clone(),
                photos: 0,
                score: 1.0,
                suspect_heads: 0,
                contradictions: Vec::new(),
                heads: Vec::new(),
            });
            entry.photos += 1;
        }
    }
    for votes in votes.iter().flatten() {
        for (place, (key, own)) in votes.members.iter().enumerate() {
            let PersonKey::Person(person) = key else {
                continue;
            };
            if let Some(audit) = all.get_mut(person) {
                let head = of_person(&names, votes, place, own);
                audit.score = audit.score.min(head.score);
                audit.suspect_heads += usize::from(head.suspect);
                audit.heads.push(head);
            }
        }
    }
    let photos = contradictions(questions, votes)?;
    for place in photos {
        let sample = &dataset.samples[place];
        let audit = sample.person.as_deref().and_then(|p| all.get_mut(p));
        if let Some(audit) = audit {
            audit.contradictions.push(names[place].clone());
        }
    }
    let mut all: Vec<PersonAudit> = all.into_values().collect();
    // Stable: equals stay in the order of their names.
    all.sort_by(|a, b| {
        let suspects = b.suspect_heads.cmp(&a.suspect_heads);
        suspects.then(a.score.total_cmp(&b.score))
    });
    Ok(all)
}

fn of_person(names: &[String], votes: &Votes, place: usize, own: &[usize]) -> PersonHead {
    let (question, given) = (votes.question, votes.given[place]);
    let others = own.iter().filter(|i| question.given[**i] != given);
    PersonHead {
        head: question.name.clone(),
        given: question.labels[given].clone(),
        vote: question.labels[argmax(votes.row(place))].clone(),
        score: votes.row(place)[given],
        suspect: votes.suspect[place],
        disagreeing: others.map(|i| names[question.places[*i]].clone()).collect(),
    }
}

/// The photos with a confident prediction against what is given, on a head that differs from photo to photo.
fn contradictions(questions: &[Question], votes: &[Option<Votes>]) -> Result<BTreeSet<usize>> {
    let mut photos = BTreeSet::new();
    let heads = questions.iter().zip(votes);
    for (question, _) in heads.filter(|(q, v)| v.is_none() && q.name != "class") {
        let given = question.confident()?;
        let issues = given.issues(&given.confident_joint(), Rule::ConfidentLearning, 1)?;
        photos.extend(issues.into_iter().map(|i| question.places[i]));
    }
    Ok(photos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::{Sample, Value};
    use crate::head::HeadSpec;

    /// Photos of persons a, b …, each with the given gender and the probability of a male.
    fn photos(all: &[(&str, usize, f64)]) -> (Dataset, Question) {
        let sample = |(i, (person, label, _)): (usize, &(&str, usize, f64))| Sample {
            photo: std::path::PathBuf::from(format!("{i}.jpg")).into(),
            name: format!("{i}.jpg"),
            person: Some(person.to_string()),
            split: None,
            values: vec![Some(Value::Label(*label))],
            row: None,
            source: 0,
        };
        let head = HeadSpec::new("gender", ["male", "female"]);
        let question = Question {
            name: head.name.clone(),
            labels: head.labels.names.clone(),
            places: (0..all.len()).collect(),
            given: all.iter().map(|(_, label, _)| *label).collect(),
            probs: all.iter().flat_map(|(_, _, p)| [*p, 1.0 - p]).collect(),
        };
        let dataset =
            Dataset::new(vec![head], all.iter().enumerate().map(sample).collect()).unwrap();
        (dataset, question)
    }

    #[test]
    fn a_vote_is_the_mean_log_probability_and_a_label_that_stands_alone_counts_less() {
        let all = [("a", 0, 0.9), ("b", 1, 0.2), ("a", 0, 0.5), ("a", 1, 0.6)];
        let (dataset, question) = photos(&all);
        let votes = Votes::new(&dataset, &question, Rule::default()).unwrap();
        let male = (0.9f64 * 0.5 * 0.6).cbrt();
        let female = (0.1f64 * 0.5 * 0.4).cbrt();
        let of_a = male / (male + female);
        assert!((votes.row(0)[0] - of_a).abs() < 1e-12);
        assert!((votes.row(1)[1] - 0.8).abs() < 1e-12);
        assert_eq!(votes.given, [0, 1]);
        let expected = [of_a * 2.0 / 3.0, 0.8, of_a * 2.0 / 3.0, (1.0 - of_a) / 3.0];
        for (found, expected) in votes.scores().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12);
        }
        let questions = [question];
        let one = Votes::new(&dataset, &questions[0], Rule::default()).unwrap();
        let persons = persons(&dataset, &questions, &[Some(one)]).unwrap();
        let a = persons.iter().find(|p| p.person == "a").unwrap();
        assert_eq!(
            (a.photos, a.heads[0].disagreeing.as_slice()),
            (3, &["3.jpg".to_string()][..])
        );
        assert_eq!(
            (a.heads[0].given.as_str(), a.heads[0].vote.as_str()),
            ("male", "male")
        );
    }

    #[test]
    fn heads_of_several_labels_at_once_are_not_said_to_agree() {
        let gender = HeadSpec::new("gender", ["male", "female"]);
        let tags = HeadSpec::multi_label("tags", ["red", "long"]);
        let heads = vec![gender, tags];
        let labels = heads
            .iter()
            .map(|h| (h.name.clone(), h.labels.names.clone()));
        let taxonomy = Taxonomy::of(labels, vec![false, true], Vec::new(), &[], &[]).unwrap();
        let dataset = Dataset::new(heads, Vec::new()).unwrap();
        let said = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            Agreement::of_heads(&dataset, &taxonomy, Some(&names))
        };
        let found = said(&["gender"]).unwrap();
        assert_eq!([found[0].agrees, found[1].agrees], [true, false]);
        let error = said(&["gender", "tags"]).unwrap_err();
        assert!(error.to_string().contains("`tags`"), "{error}");
    }

    #[test]
    fn a_person_whose_photos_all_say_something_else_comes_first() {
        let mut all = Vec::new();
        for person in ["a", "b", "c", "d", "e", "f"] {
            let label = usize::from(person > "c");
            let likely = if label == 0 { 0.9 } else { 0.1 };
            all.extend([(person, label, likely), (person, label, likely)]);
        }
        // d is given female, and looks male on both photos.
        all[6].2 = 0.95;
        all[7].2 = 0.97;
        let (dataset, question) = photos(&all);
        let questions = [question];
        let votes = [Some(
            Votes::new(&dataset, &questions[0], Rule::default()).unwrap(),
        )];
        let persons = persons(&dataset, &questions, &votes).unwrap();
        assert_eq!(
            (persons[0].person.as_str(), persons[0].suspect_heads),
            ("d", 1)
        );
        assert!(persons[1..].iter().all(|p| p.suspect_heads == 0));
        let scores = person_scores(&dataset, &questions, &votes).unwrap();
        assert!(scores[0][6] < 0.1 && scores[0][6] == scores[0][7]);
    }
}
