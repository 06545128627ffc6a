//! Labels made wrong on purpose, to measure how many of them are found.

use super::persons::Agreement;
use super::question::{known, likeliest_but};
use crate::data::dataset::{Dataset, PersonKey, Value, person_key};
use crate::data::targets::labels;
use crate::error::{Error, Result};
use crate::names::named;
use crate::random::rng::{Purpose, keyed};
use crate::taxonomy::Taxonomy;
use rand::Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which labels are made wrong, and how.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Injection {
    /// The share of each head's labels, above 0 and below 0.5.
    pub share: f64,
    /// What a label is turned into.
    pub flip: Flip,
    /// What is made wrong together.
    pub unit: Unit,
}

/// What a label is turned into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// Any other one, all alike.
    #[default]
    Uniform,
    /// The one that out-of-fold models find likeliest, in the mean over the photos given it, but for itself.
    Confusable,
}

named!(Flip, "way of making labels wrong", {
    Uniform => "uniform",
    Confusable => "confusable",
});

/// What is made wrong together, on heads whose label agrees over a person's photos.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// All photos of a person, so that a label cannot be found by comparing it with the person's others.
    #[default]
    Person,
    /// Each photo for itself.
    Photo,
}

named!(Unit, "unit of wrong labels", {
    Person => "person",
    Photo => "photo",
});

impl Injection {
    /// # Errors
    /// [`Error::Invalid`] for a share that is not above 0 and below 0.5.
    pub(super) fn validate(&self) -> Result<()> {
        if self.share > 0.0 && self.share < 0.5 {
            Ok(())
        } else {
            Err(Error::Invalid {
                what: "the share of labels to make wrong".into(),
                expected: "a number above 0 and below 0.5".into(),
                found: self.share.to_string(),
            })
        }
    }
}

/// How many labels were made wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Injected {
    /// The head.
    pub head: String,
    /// Persons, or photos, whose label was made wrong.
    pub units: usize,
    /// Photos whose label was made wrong.
    pub photos: usize,
}

/// A copy of `dataset` with a share of each head's labels made wrong. A label stays as it is where every other one would be an
/// impossible combination. `confusion` holds, for each head and label, the label it is turned into, for [`Flip::Confusable`]; see
/// [`confusion`].
pub(super) fn inject(
    dataset: &Dataset,
    taxonomy: &Taxonomy,
    agreements: &[Agreement],
    injection: Injection,
    confusion: Option<&[Vec<usize>]>,
    seed: u64,
) -> (Dataset, Vec<Injected>) {
    let mut changed = dataset.clone();
    let mut found = Vec::new();
    let before = known(dataset, taxonomy);
    for (head, name) in taxonomy.heads().iter().enumerate() {
        let whole = injection.unit == Unit::Person && agreements[head].agrees;
        let units = units(dataset, whole, |place| before[place][head].is_some());
        let wanted = (injection.share * units.len() as f64).round() as usize;
        let mut draws = keyed(seed, Purpose::Inject, head as u64, 0);
        // The units are sorted by who they are, so the draws do not depend on the order of the photos.
        let mut order: Vec<Vec<usize>> = units.into_values().collect();
        order.shuffle(&mut draws);
        let mut injected = Injected {
            head: name.clone(),
            units: 0,
            photos: 0,
        };
        for unit in order {
            let turn: usize = draws.random_range(1..taxonomy.labels(head).len());
            if injected.units == wanted {
                continue;
            }
            let Some(given) = before[unit[0]][head] else {
                continue;
            };
            let label = match confusion {
                Some(confusion) => confusion[head][given],
                None => (given + turn) % taxonomy.labels(head).len(),
            };
            let fits = |place: &usize| {
                let sample = &changed.samples[*place];
                let mut labels = taxonomy.applying(&labels(&dataset.heads, sample));
                labels[head] = Some(label);
                taxonomy.is_possible(&labels)
            };
            if label == given || !unit.iter().all(fits) {
                continue;
            }
            for place in &unit {
                changed.samples[*place].values[head] = Some(Value::Label(label));
            }
            injected.units += 1;
            injected.photos += unit.len();
        }
        found.push(injected);
    }
    (changed, found)
}

/// The photos that are made wrong together.
fn units(
    dataset: &Dataset,
    whole: bool,
    has: impl Fn(usize) -> bool,
) -> BTreeMap<(PersonKey<'_>, usize, &str), Vec<usize>> {
    let mut units: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (place, sample) in dataset.samples.iter().enumerate() {
        if has(place) {
            let key = if whole {
                (person_key(sample), 0, "")
            } else {
                (person_key(sample), sample.source, sample.name.as_str())
            };
            units.entry(key).or_default().push(place);
        }
    }
    units
}

/// For each head and each of its labels the other one that is likeliest in the mean over the photos given that label.
pub(super) fn confusion(
    dataset: &Dataset,
    taxonomy: &Taxonomy,
    probs: &[Vec<f64>],
) -> Vec<Vec<usize>> {
    let known = known(dataset, taxonomy);
    let of_head = |head: usize| {
        let width = taxonomy.labels(head).len();
        let mut sums = vec![vec![0.0; width]; width];
        for (labels, row) in known.iter().zip(probs[head].chunks_exact(width)) {
            if let Some(given) = labels[head] {
                sums[given].iter_mut().zip(row).for_each(|(s, p)| *s += p);
            }
        }
        let nearest = |(given, sums): (usize, &Vec<f64>)| likeliest_but(sums, given);
        sums.iter().enumerate().map(nearest).collect()
    };
    (0..taxonomy.heads().len()).map(of_head).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::dataset::Sample;
    use crate::head::HeadSpec;

    /// 40 persons of four photos: gender by person, mask by photo.
    fn faces(impossible: bool) -> (Dataset, Taxonomy) {
        let heads = vec![
            HeadSpec::new("mask", ["worn", "incorrect", "not_worn"]),
            HeadSpec::new("gender", ["male", "female"]),
        ];
        let sample = |i: usize| Sample {
            photo: std::path::PathBuf::from(format!("{i}.jpg")).into(),
            name: format!("{i}.jpg"),
            person: Some(format!("p{}", i / 4)),
            split: None,
            values: vec![Some(Value::Label(i % 3)), Some(Value::Label(i / 4 % 2))],
            row: None,
            source: 0,
        };
        let taxonomy = Taxonomy::new(
            heads
                .iter()
                .map(|h| (h.name.clone(), h.labels.names.clone())),
        );
        let both = [("mask", "incorrect"), ("gender", "female")];
        let both = both.map(|(h, l)| (h.to_string(), vec![l.to_string()]));
        let taxonomy = if impossible {
            taxonomy.unwrap().with_tree(&[], &[both.into()])
        } else {
            taxonomy
        };
        let mut samples: Vec<Sample> = (0..160).map(sample).collect();
        if impossible {
            let taxonomy = taxonomy.as_ref().unwrap();
            samples.retain(|s| taxonomy.is_possible(&labels(&heads, s)));
        }
        let dataset = Dataset::new(heads, samples).unwrap();
        (dataset, taxonomy.unwrap())
    }

    fn injected(dataset: &Dataset, taxonomy: &Taxonomy, unit: Unit) -> (Dataset, Vec<Injected>) {
        let agreements = Agreement::of_heads(dataset, taxonomy, None).unwrap();
        assert_eq!([agreements[0].agrees, agreements[1].agrees], [false, true]);
        let injection = Injection {
            share: 0.1,
            flip: Flip::Uniform,
            unit,
        };
        injection.validate().unwrap();
        inject(dataset, taxonomy, &agreements, injection, None, 5)
    }

    fn changed(before: &Dataset, after: &Dataset, head: usize) -> Vec<usize> {
        let pairs = before.samples.iter().zip(&after.samples).enumerate();
        let other = pairs.filter(|(_, (a, b))| a.values[head] != b.values[head]);
        other.map(|(place, _)| place).collect()
    }

    #[test]
    fn a_share_of_the_labels_is_made_wrong_and_persons_as_a_whole() {
        let (dataset, taxonomy) = faces(false);
        let (noisy, counts) = injected(&dataset, &taxonomy, Unit::Person);
        assert_eq!([counts[0].units, counts[0].photos], [16, 16]);
        assert_eq!([counts[1].units, counts[1].photos], [4, 16]);
        assert_eq!(changed(&dataset, &noisy, 0).len(), 16);
        let persons = changed(&dataset, &noisy, 1);
        assert_eq!(persons.len(), 16);
        assert!(persons.chunks(4).all(|c| c[0] % 4 == 0 && c[3] == c[0] + 3));
        let (noisy, counts) = injected(&dataset, &taxonomy, Unit::Photo);
        assert_eq!([counts[1].units, counts[1].photos], [16, 16]);
        let photos = changed(&dataset, &noisy, 1);
        assert!(photos.chunks(4).any(|c| c[3] != c[0] + 3));
    }

    #[test]
    fn the_order_of_the_photos_changes_nothing_about_which_labels_are_made_wrong() {
        let (dataset, taxonomy) = faces(false);
        let (noisy, _) = injected(&dataset, &taxonomy, Unit::Person);
        let mut turned = dataset.clone();
        turned.samples.reverse();
        let (mut turned, _) = injected(&turned, &taxonomy, Unit::Person);
        turned.samples.reverse();
        assert_eq!(noisy, turned);
    }

    #[test]
    fn no_impossible_combination_is_made() {
        let (dataset, taxonomy) = faces(true);
        dataset.check_possible(&taxonomy).unwrap();
        let (noisy, counts) = injected(&dataset, &taxonomy, Unit::Person);
        noisy.check_possible(&taxonomy).unwrap();
        assert!(counts.iter().all(|c| c.units > 0));
    }

    #[test]
    fn the_nearest_label_is_the_likeliest_other_one() {
        let (dataset, taxonomy) = faces(false);
        let photos = dataset.samples.len();
        // Whatever is given, the last label is likely, then the first.
        let mask = [0.3, 0.1, 0.6].repeat(photos);
        let probs = [mask, [0.5, 0.5].repeat(photos)];
        let nearest = confusion(&dataset, &taxonomy, &probs);
        assert_eq!(nearest, [vec![2, 2, 0], vec![1, 0]]);
    }
}
