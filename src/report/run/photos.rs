//! The scored photos of a page, and their pictures.

use super::data::{PhotoKey, Source};
use super::heat::HeatData;
use super::parts::{Classes, number_of};
use crate::data::dataset::Sample;
use crate::data::named_photo::NamedPhoto;
use crate::eval::read_predictions::PredictionRow;
use crate::model::combine::argmax;
use crate::report::thumbs;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Labels of a head whose probabilities are shown.
const SHOWN: usize = 4;

/// Pictures of all runs, each photo once.
#[derive(Default)]
pub(super) struct Pool {
    index: HashMap<String, usize>,
    /// With how soon a photo is to have its picture: 0 first.
    photos: Vec<(usize, NamedPhoto)>,
}

impl Pool {
    fn add(&mut self, sample: &Sample, rank: usize) -> usize {
        let next = self.photos.len();
        let place = *self
            .index
            .entry(sample.whole_path().display().to_string())
            .or_insert(next);
        if place == next {
            self.photos.push((rank, sample.into()));
        }
        let known = &mut self.photos[place].0;
        *known = (*known).min(rank);
        place
    }

    /// Data URIs of all, as far as this many bytes go, the most looked at first.
    pub(super) fn pictures(self, most: usize) -> Vec<Option<String>> {
        let mut order: Vec<usize> = (0..self.photos.len()).collect();
        order.sort_by_key(|i| (self.photos[*i].0, *i));
        let photos: Vec<&NamedPhoto> = order.iter().map(|i| &self.photos[*i].1).collect();
        let height = match photos.len() {
            0..=600 => 112,
            601..=2000 => 80,
            _ => 64,
        };
        let mut all = vec![None; photos.len()];
        for (place, picture) in order.iter().zip(thumbs::within(&photos, height, most)) {
            all[*place] = picture;
        }
        all
    }
}

/// A photo; short names, for there are thousands.
#[derive(Serialize)]
pub(super) struct PhotoData {
    /// Its name.
    n: String,
    /// The person.
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<String>,
    /// Its picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    i: Option<usize>,
    /// True and predicted final class, and its probability.
    t: Option<usize>,
    c: Option<usize>,
    q: f64,
    h: Vec<HeadData>,
    /// Where each head looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    g: Option<Vec<HeatData>>,
}

#[derive(Serialize)]
struct HeadData {
    /// True labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    t: Option<Vec<usize>>,
    /// What the head itself says: its likeliest label, or all that are said of several at once.
    s: Vec<usize>,
    /// Labels and probabilities, the likeliest first.
    p: Vec<(usize, f64)>,
    /// Mean, interval, and the true number where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<Vec<f64>>,
}

/// A person and its photos.
#[derive(Serialize)]
pub(super) struct PersonData {
    n: String,
    photos: Vec<usize>,
}

pub(super) struct Scored {
    pub(super) photos: Vec<PhotoData>,
    pub(super) persons: Vec<PersonData>,
    /// Photos that the data does not have any more.
    pub(super) missing: usize,
}

/// The photos of the data by name and listing.
pub(super) fn samples<'a>(source: &Source<'a>) -> HashMap<(&'a str, Option<String>), &'a Sample> {
    let Some(dataset) = source.dataset else {
        return HashMap::new();
    };
    let samples = dataset.samples.iter();
    samples
        .map(|s| ((s.name.as_str(), dataset.listing(s)), s))
        .collect()
}

/// At most `most` photos, the wrong ones and the least sure before the others.
pub(super) fn photos(source: &Source, classes: &Classes, most: usize, pool: &mut Pool) -> Scored {
    let mut order: Vec<usize> = (0..source.rows.len()).collect();
    let looked_at: Vec<(u8, f64)> = source.rows.iter().map(|r| interest(source, r)).collect();
    order.sort_by(|a, b| {
        let (x, y) = (looked_at[*a], looked_at[*b]);
        x.0.cmp(&y.0).then(x.1.total_cmp(&y.1)).then(a.cmp(b))
    });
    order.truncate(most);
    let samples = samples(source);
    let mut found = Scored {
        photos: Vec::with_capacity(order.len()),
        persons: Vec::new(),
        missing: 0,
    };
    let mut persons: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (rank, place) in order.into_iter().enumerate() {
        let row = &source.rows[place];
        let key: PhotoKey = (row.name.clone(), row.listing.clone());
        let sample = samples
            .get(&(row.name.as_str(), row.listing.clone()))
            .copied();
        found.missing += usize::from(sample.is_none());
        let person = source.persons.get(&key).cloned();
        let person = person.or_else(|| sample.and_then(|s| s.person.clone()));
        if let Some(person) = &person {
            persons.entry(person.clone()).or_default().push(rank);
        }
        found.photos.push(PhotoData {
            n: row.name.clone(),
            p: person,
            i: sample.map(|s| pool.add(s, rank)),
            t: source
                .taxonomy
                .class_of(&row.truths(&source.taxonomy))
                .and_then(|c| classes.place(c)),
            c: classes.place(row.class),
            q: rounded(row.prob),
            h: (0..row.heads.len())
                .map(|head| head_data(row, head, sample, source))
                .collect(),
            g: source.heat.get(&place).cloned(),
        });
    }
    let persons = persons
        .into_iter()
        .map(|(n, photos)| PersonData { n, photos });
    found.persons = persons.collect();
    found
}

/// How soon a photo is looked at: a wrong final class, then any head that is wrong, then the rest; within each the surest wrong
/// ones, and of the right ones the least sure.
pub(super) fn interest(source: &Source, row: &PredictionRow) -> (u8, f64) {
    let truths = row.truths(&source.taxonomy);
    if source
        .taxonomy
        .class_of(&truths)
        .is_some_and(|c| c != row.class)
    {
        return (0, -row.prob);
    }
    let wrong = row
        .heads
        .iter()
        .enumerate()
        .any(|(i, head)| match &head.truth {
            None => false,
            Some(labels) if source.taxonomy.is_multi_label(i) => Some(labels) != head.said.as_ref(),
            Some(labels) => labels.first() != Some(&argmax(&head.probs)),
        });
    (if wrong { 1 } else { 2 }, row.prob)
}

fn head_data(
    row: &PredictionRow,
    head: usize,
    sample: Option<&Sample>,
    source: &Source,
) -> HeadData {
    let of = &row.heads[head];
    let mut probs: Vec<(usize, f64)> = of.probs.iter().copied().enumerate().collect();
    probs.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    probs.truncate(SHOWN);
    probs.iter_mut().for_each(|p| p.1 = rounded(p.1));
    let number = of.number.map(|number| {
        let truth = sample.and_then(|s| number_of(s, head));
        number
            .into_iter()
            .chain(truth)
            .map(|v| (v * 100.0).round() / 100.0)
            .collect()
    });
    HeadData {
        t: of.truth.clone(),
        s: if source.taxonomy.is_multi_label(head) {
            of.said.clone().unwrap_or_default()
        } else {
            vec![argmax(&of.probs)]
        },
        p: probs,
        v: number,
    }
}

/// Enough digits to look at.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
