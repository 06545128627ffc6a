//! Cards of suspects and persons.

use super::shown::Shown;
use super::{Card, Page, PageConfig, Tab};
use crate::audit::health::nearest;
use crate::audit::{Audit, Question};
use crate::data::dataset::person_key;
use crate::error::Result;
use std::collections::HashMap;

/// Features of all photos.
pub(crate) struct Features<'a> {
    pub(crate) rows: &'a [f32],
    pub(crate) width: usize,
}

/// Probabilities shown of a final class.
const CLASSES: usize = 4;

pub(crate) struct Cards<'a> {
    page: &'a Page<'a>,
    config: &'a PageConfig,
    /// Scaled to length 1.
    features: Option<(Vec<f32>, usize)>,
    names: HashMap<String, usize>,
    persons: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Cards<'a> {
    pub(crate) fn new(
        page: &'a Page<'a>,
        config: &'a PageConfig,
        features: Option<Features>,
    ) -> Self {
        let names = page.dataset.unique_names().into_iter().zip(0..).collect();
        let mut persons: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, sample) in page.dataset.samples.iter().enumerate() {
            if let Some(person) = &sample.person {
                persons.entry(person).or_default().push(place);
            }
        }
        let features = features.filter(|f| f.width > 0).map(|f| {
            let mut rows = f.rows.to_vec();
            rows.chunks_exact_mut(f.width)
                .for_each(crate::audit::health::normalise);
            (rows, f.width)
        });
        Self {
            page,
            config,
            features,
            names,
            persons,
        }
    }

    /// A tab for each question.
    pub(crate) fn questions(
        &self,
        audit: &Audit,
        questions: &[Question],
        thumbs: &mut Shown,
    ) -> Result<Vec<Tab>> {
        let heads = self.page.taxonomy.heads();
        let mut tabs = Vec::new();
        for question in questions {
            let head = heads.iter().position(|h| *h == question.name);
            let suspects = audit.suspects.iter().filter(|s| s.head == question.name);
            let index: HashMap<usize, usize> = question.places.iter().copied().zip(0..).collect();
            let mut shown = Vec::new();
            for suspect in suspects.clone().take(self.config.shown) {
                let place = self.names.get(suspect.path.as_str());
                if let Some((place, i)) = place.and_then(|p| Some((*p, *index.get(p)?))) {
                    shown.push((suspect, place, i));
                }
            }
            let near = self.near(question, &shown.iter().map(|s| s.2).collect::<Vec<_>>());
            let mut cards = Vec::new();
            for ((suspect, place, i), near) in shown.into_iter().zip(near) {
                let mut probs: Vec<(usize, f64)> =
                    question.row(i).iter().copied().enumerate().collect();
                probs.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                if head.is_none() {
                    probs.truncate(CLASSES);
                }
                probs.iter_mut().for_each(|p| p.1 = rounded(p.1));
                cards.push(Card {
                    photo: thumbs.of(place),
                    person: suspect.person.clone(),
                    head,
                    given: Some(question.given[i]),
                    suggested: Some(question.suggested(i)),
                    score: Some(rounded(suspect.score)),
                    probs,
                    own: thumbs.all(self.others(place)),
                    near: thumbs.all(near),
                    ..Card::default()
                });
            }
            let classes = match head {
                Some(_) => Vec::new(),
                None => self.page.taxonomy.leaves(),
            };
            tabs.push(Tab {
                id: question.name.clone(),
                title: question.name.clone(),
                kind: if head.is_some() { "head" } else { "class" },
                head,
                labels: question.labels.clone(),
                classes,
                of: suspects.count(),
                cards,
            });
        }
        Ok(tabs)
    }

    /// Other photos of the person.
    fn others(&self, place: usize) -> Vec<usize> {
        let person = self.page.dataset.samples[place].person.as_deref();
        let all = person.and_then(|p| self.persons.get(p));
        let others = all.into_iter().flatten().filter(|p| **p != place);
        others.take(self.config.beside).copied().collect()
    }

    /// For each of some photos of a question, the nearest photos of other persons that are given the suggested label.
    fn near(&self, question: &Question, of: &[usize]) -> Vec<Vec<usize>> {
        let Some((rows, width)) = &self.features else {
            return vec![Vec::new(); of.len()];
        };
        let samples = &self.page.dataset.samples;
        let given: HashMap<usize, usize> = question
            .places
            .iter()
            .copied()
            .zip(question.given.iter().copied())
            .collect();
        let places: Vec<usize> = of.iter().map(|i| question.places[*i]).collect();
        let wanted: HashMap<usize, usize> = places
            .iter()
            .copied()
            .zip(of.iter().map(|i| question.suggested(*i)))
            .collect();
        let allowed = |a: usize, b: usize| {
            given.get(&b) == wanted.get(&a) && person_key(&samples[a]) != person_key(&samples[b])
        };
        nearest(rows, *width, &places, self.config.beside, &allowed)
            .into_iter()
            .map(|near| near.into_iter().map(|n| n.row).collect())
            .collect()
    }

    /// Persons with a head whose label is likely wrong on all their photos.
    pub(crate) fn persons(&self, audit: &Audit, thumbs: &mut Shown) -> Tab {
        let heads = &self.page.dataset.heads;
        let suspects = || {
            audit.persons.iter().flat_map(|person| {
                let heads = person.heads.iter().filter(|h| h.suspect);
                heads.map(move |head| (person, head))
            })
        };
        let mut cards = Vec::new();
        for (person, found) in suspects().take(self.config.shown) {
            let photos = self.persons.get(person.person.as_str());
            let spec = heads.iter().position(|h| h.name == found.head);
            let (Some([first, rest @ ..]), Some(head)) = (photos.map(Vec::as_slice), spec) else {
                continue;
            };
            let label = |name: &str| heads[head].labels.names.iter().position(|l| l == name);
            let mut text = format!("{} photos", person.photos);
            if !found.disagreeing.is_empty() {
                text += &format!(", {} given another label", found.disagreeing.len());
            }
            cards.push(Card {
                photo: thumbs.of(*first),
                person: Some(person.person.clone()),
                head: Some(head),
                given: label(&found.given),
                suggested: label(&found.vote),
                score: Some(rounded(found.score)),
                text,
                own: thumbs.all(rest.iter().take(2 * self.config.beside).copied()),
                ..Card::default()
            });
        }
        Tab {
            id: "persons".into(),
            title: "persons".into(),
            kind: "persons",
            head: None,
            labels: Vec::new(),
            classes: Vec::new(),
            of: suspects().count(),
            cards,
        }
    }
}

/// Enough digits to look at.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
