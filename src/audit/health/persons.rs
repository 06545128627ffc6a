//! Persons that may be one, and photos that may be of somebody else, by features.

use super::HealthConfig;
use super::identity::{distil, normalise};
use super::neighbours::nearest;
use super::pass::Features;
use super::robust::Robust;
use crate::data::dataset::Dataset;
use crate::error::Result;
use serde::Serialize;
use std::collections::BTreeMap;

/// Two persons whose photos are alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PersonPair {
    /// The persons.
    pub persons: [String; 2],
    /// Indices of a photo of each, those two that are most alike.
    pub photos: [usize; 2],
    /// Their names.
    pub names: [String; 2],
    /// The cosine of the persons' mean features.
    pub cosine: f64,
    /// Whether they stand on two sides of the split.
    pub two_sides: bool,
}

/// A photo that looks like none of its person's others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Look {
    /// Index of the photo.
    pub photo: usize,
    /// Its name.
    pub name: String,
    /// Its person.
    pub person: String,
    /// Mean cosine with the person's other photos.
    pub own: f64,
    /// The same in robust units of all photos; negative.
    pub units: f64,
    /// Index of the most similar photo of another person.
    pub other: usize,
    /// Its name.
    pub other_name: String,
    /// The cosine with it.
    pub cosine: f64,
}

/// What features say of persons.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PersonsReport {
    /// Share of the photos of persons with several to which another photo of the same person is nearest: how far these features
    /// can be trusted to tell who somebody is.
    pub recognised: f64,
    /// Pairs of persons at least as alike as was asked for.
    pub same_person: usize,
    /// The pairs that are most alike, at most as many as were asked for, whether above that or not.
    pub pairs: Vec<PersonPair>,
    /// Photos that look like none of their person's others and more like somebody else.
    pub strangers: usize,
    /// These, the most striking first.
    pub looks: Vec<Look>,
}

/// Compares photos and persons.
pub(super) fn compare(
    dataset: &Dataset,
    features: &Features,
    config: &HealthConfig,
) -> Result<PersonsReport> {
    let (width, places) = (features.width, &features.places);
    let mut rows = features.rows.clone();
    distil(&mut rows, width, dataset, places);
    let names = dataset.unique_names();
    let name = |row: usize| names[places[row]].clone();
    let person = |row: usize| dataset.samples[places[row]].person.as_deref();
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for row in 0..places.len() {
        if let Some(person) = person(row) {
            members.entry(person).or_default().push(row);
        }
    }
    let row = |i: usize| &rows[i * width..(i + 1) * width];
    let several: Vec<usize> = (0..places.len())
        .filter(|i| person(*i).is_some_and(|p| members[p].len() > 1))
        .collect();
    let others = nearest(&rows, width, &several, 1, &|a, b| person(a) != person(b));
    let mut report = PersonsReport::default();
    let mut own = Vec::with_capacity(several.len());
    let mut recognised = 0;
    for (i, other) in several.iter().zip(&others) {
        let all = person(*i).map_or(&[][..], |p| &members[p]);
        let cosines: Vec<f64> = all
            .iter()
            .filter(|j| *j != i)
            .map(|j| dot(row(*i), row(*j)))
            .collect();
        let best = cosines.iter().copied().fold(-1.0, f64::max);
        let beaten = other.first().is_some_and(|o| f64::from(o.cosine) >= best);
        recognised += usize::from(!beaten);
        own.push((cosines.iter().sum::<f64>() / cosines.len() as f64, beaten));
    }
    report.recognised = recognised as f64 / several.len().max(1) as f64;
    let spread = Robust::new(&own.iter().map(|(o, _)| *o).collect::<Vec<_>>());
    for ((i, other), (own, beaten)) in several.iter().zip(&others).zip(own) {
        // Of two photos it cannot be told which one is of somebody else.
        let enough = person(*i).is_some_and(|p| members[p].len() > 2);
        if let Some(other) = other.first()
            && enough
            && beaten
            && spread.units(own) < -config.stranger
        {
            report.looks.push(Look {
                photo: places[*i],
                name: name(*i),
                person: person(*i).unwrap_or_default().into(),
                own,
                units: spread.units(own),
                other: places[other.row],
                other_name: name(other.row),
                cosine: f64::from(other.cosine),
            });
        }
    }
    report.strangers = report.looks.len();
    report
        .looks
        .sort_by(|a, b| a.units.total_cmp(&b.units).then(a.photo.cmp(&b.photo)));
    report.looks.truncate(config.listed);

    let people: Vec<(&str, &Vec<usize>)> = members.iter().map(|(p, m)| (*p, m)).collect();
    let mut means = vec![0.0; people.len() * width];
    for ((_, members), mean) in people.iter().zip(means.chunks_exact_mut(width.max(1))) {
        for member in members.iter() {
            mean.iter_mut().zip(row(*member)).for_each(|(m, v)| *m += v);
        }
        normalise(mean);
    }
    let all: Vec<usize> = (0..people.len()).collect();
    let mut pairs: Vec<(usize, usize, f64)> = nearest(&means, width, &all, NEAR, &|a, b| b > a)
        .into_iter()
        .enumerate()
        .flat_map(|(a, near)| {
            near.into_iter()
                .map(move |n| (a, n.row, f64::from(n.cosine)))
        })
        .collect();
    report.same_person = pairs.iter().filter(|p| p.2 >= config.same_person).count();
    pairs.sort_by(|x, y| y.2.total_cmp(&x.2).then((x.0, x.1).cmp(&(y.0, y.1))));
    pairs.truncate(config.listed);
    for (a, b, cosine) in pairs {
        let mut best = (f64::NEG_INFINITY, [0, 0]);
        for i in people[a].1 {
            for j in people[b].1 {
                let product = dot(row(*i), row(*j));
                if product > best.0 {
                    best = (product, [*i, *j]);
                }
            }
        }
        let photos = best.1.map(|r| places[r]);
        let [x, y] = photos.map(|i| dataset.samples[i].split);
        report.pairs.push(PersonPair {
            persons: [people[a].0.into(), people[b].0.into()],
            photos,
            names: best.1.map(name),
            cosine,
            two_sides: x.is_some() && y.is_some() && x != y,
        });
    }
    Ok(report)
}

/// Others that are kept of each person; a person under more than so many ids is found by those.
const NEAR: usize = 5;

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(x, y)| f64::from(*x) * f64::from(*y))
        .sum()
}
