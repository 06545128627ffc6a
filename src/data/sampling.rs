//! Which photos an epoch takes, and in what order.

use super::dataset::{Dataset, Split, empty_split, person_key};
use super::targets::{classes, labels};
use crate::error::{Error, Result};
use crate::model::ModelSpec;
use crate::random::rng::{Purpose, keyed};
use rand::Rng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which photos an epoch takes.
///
/// Weighted draws are with replacement and as many as the training split has photos; a photo drawn again in an epoch is
/// augmented anew. Each photo of a label of which there are n is drawn with a probability ∝ n^(−power), so the label with one
/// ∝ n^(1 − power): 1 draws all labels alike, 0.5 by the square root of their photos (Mahajan et al. 2018), 0 as they occur.
/// Photos whose label is missing are drawn as often as they occur.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Sampling {
    /// Every photo once, in random order.
    #[default]
    EveryPhoto,
    /// Weighted by the label of one head.
    ByHead {
        /// The head.
        head: String,
        /// From 0 to 1.
        #[serde(default = "one")]
        power: f64,
    },
    /// Weighted by the final class.
    ByClass {
        /// From 0 to 1.
        #[serde(default = "one")]
        power: f64,
    },
    /// One photo of each person, drawn anew in each epoch: an epoch then has as many photos as there are persons. A photo whose
    /// person is not known counts as a person of its own.
    OnePhotoAPerson,
}

fn one() -> f64 {
    1.0
}

impl Sampling {
    /// Checks it against the heads there are.
    ///
    /// # Errors
    /// [`Error::UnknownName`] or [`Error::Invalid`] naming the setting.
    pub(crate) fn validate(&self, spec: &ModelSpec) -> Result<()> {
        let power = match self {
            Self::EveryPhoto | Self::OnePhotoAPerson => return Ok(()),
            Self::ByHead { head, power } => {
                spec.single_label_head(head, "train.sampling, by_head")?;
                power
            }
            Self::ByClass { power } => power,
        };
        if !(0.0..=1.0).contains(power) {
            return Err(Error::Invalid {
                what: "train.sampling, power".into(),
                expected: "a number from 0 to 1".into(),
                found: power.to_string(),
            });
        }
        Ok(())
    }
}

/// Draws the photos of each epoch.
pub(crate) struct Sampler {
    photos: usize,
    draws: Draws,
}

enum Draws {
    Every,
    /// The sums of the weights up to each photo.
    Weighted(Vec<f64>),
    /// The photos of each person.
    Persons(Vec<Vec<usize>>),
}

impl Sampler {
    /// For the photos `train` of a data set.
    pub(crate) fn new(
        sampling: &Sampling,
        spec: &ModelSpec,
        dataset: &Dataset,
        train: &[usize],
    ) -> Result<Self> {
        let draws = match sampling {
            Sampling::EveryPhoto => Draws::Every,
            Sampling::ByHead { head, power } => {
                let head = spec.head_index(head)?;
                let label = |i: &usize| labels(&spec.heads, &dataset.samples[*i])[head];
                let keys: Vec<Option<usize>> = train.iter().map(label).collect();
                weighted(&keys, *power, dataset)?
            }
            Sampling::ByClass { power } => {
                let classes = classes(&spec.taxonomy()?, dataset, train);
                weighted(&classes, *power, dataset)?
            }
            Sampling::OnePhotoAPerson => {
                let mut persons: Vec<Vec<usize>> = Vec::new();
                let mut places = BTreeMap::new();
                for (place, i) in train.iter().enumerate() {
                    let at = *places
                        .entry(person_key(&dataset.samples[*i]))
                        .or_insert(persons.len());
                    if at == persons.len() {
                        persons.push(Vec::new());
                    }
                    persons[at].push(place);
                }
                Draws::Persons(persons)
            }
        };
        Ok(Self {
            photos: train.len(),
            draws,
        })
    }

    /// Photos an epoch takes.
    pub(crate) fn photos(&self) -> usize {
        match &self.draws {
            Draws::Persons(persons) => persons.len(),
            _ => self.photos,
        }
    }

    /// The photos of an epoch in order, as places in `train`.
    pub(crate) fn order(&self, seed: u64, epoch: usize) -> Vec<usize> {
        let mut rng = keyed(seed, Purpose::Sample, epoch as u64, 0);
        let mut order: Vec<usize> = match &self.draws {
            Draws::Every => (0..self.photos).collect(),
            // In random order as they are drawn.
            Draws::Weighted(sums) => {
                let all = sums.last().copied().unwrap_or(0.0);
                let draw = |_| {
                    let at = rng.random::<f64>() * all;
                    sums.partition_point(|sum| *sum <= at).min(sums.len() - 1)
                };
                return (0..self.photos).map(draw).collect();
            }
            Draws::Persons(persons) => persons
                .iter()
                .map(|photos| photos[rng.random_range(0..photos.len())])
                .collect(),
        };
        order.shuffle(&mut keyed(seed, Purpose::Shuffle, epoch as u64, 0));
        order
    }
}

fn weighted(keys: &[Option<usize>], power: f64, dataset: &Dataset) -> Result<Draws> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for key in keys.iter().flatten() {
        *counts.entry(*key).or_default() += 1;
    }
    if counts.is_empty() {
        let reason = "no photo of it has the labels that train.sampling weighs by";
        return Err(empty_split(dataset, Split::Train, reason));
    }
    let known: usize = counts.values().sum();
    let weight = |n: usize| (n as f64).powf(-power);
    let all: f64 = counts.values().map(|n| *n as f64 * weight(*n)).sum();
    let mut sum = 0.0;
    let sums = keys.iter().map(|key| {
        // On average 1, which is the weight of a photo whose label is missing.
        sum += key.map_or(1.0, |key| weight(counts[&key]) * known as f64 / all);
        sum
    });
    Ok(Draws::Weighted(sums.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbone::Architecture;
    use crate::data::dataset::{Sample, Value};
    use crate::head::HeadSpec;

    /// 8 photos of label 0, 2 of label 1 and 2 without; three persons and two photos of nobody known.
    fn example() -> (ModelSpec, Dataset, Vec<usize>) {
        let heads = vec![HeadSpec::new("mask", ["worn", "not_worn"])];
        let backbone = Architecture::from_name("tf_efficientnet_lite0").unwrap();
        let spec = ModelSpec::new(backbone, heads.clone(), backbone.input());
        let samples = (0..12).map(|i| Sample {
            photo: std::path::PathBuf::from(format!("{i}.jpg")).into(),
            name: format!("{i}.jpg"),
            person: (i < 10).then(|| format!("p{}", i % 3)),
            split: Some(Split::Train),
            values: vec![(i < 10).then(|| Value::Label(usize::from(i >= 8)))],
            row: None,
            source: 0,
        });
        let dataset = Dataset::new(heads, samples.collect()).unwrap();
        (spec, dataset, (0..12).collect())
    }

    fn sampler(sampling: &Sampling) -> Sampler {
        let (spec, dataset, train) = example();
        sampling.validate(&spec).unwrap();
        Sampler::new(sampling, &spec, &dataset, &train).unwrap()
    }

    #[test]
    fn every_photo_is_taken_once_in_another_order_each_epoch() {
        let sampler = sampler(&Sampling::EveryPhoto);
        let mut order = sampler.order(1, 0);
        assert_eq!(order, sampler.order(1, 0));
        assert_ne!(order, sampler.order(1, 1));
        order.sort_unstable();
        assert!(order.into_iter().eq(0..12));
    }

    #[test]
    fn weighted_draws_have_the_frequencies_of_their_power() {
        let epochs = 4000;
        // Shares of the 10 draws of photos with a label: 8 to 2, √8 to √2, half and half.
        for (power, rare) in [(0.0, 0.2), (0.5, 1.0 / 3.0), (1.0, 0.5)] {
            let by_head = Sampling::ByHead {
                head: "mask".into(),
                power,
            };
            for sampling in [by_head, Sampling::ByClass { power }] {
                let sampler = sampler(&sampling);
                assert_eq!(sampler.photos(), 12);
                let mut counts = [0f64; 12];
                for epoch in 0..epochs {
                    let order = sampler.order(3, epoch);
                    assert_eq!(order.len(), 12);
                    order.iter().for_each(|i| counts[*i] += 1.0);
                }
                let share = |i: usize| counts[i] / epochs as f64;
                for i in 0..12 {
                    let expected = match i {
                        0..8 => 10.0 * (1.0 - rare) / 8.0,
                        8..10 => 10.0 * rare / 2.0,
                        _ => 1.0,
                    };
                    // Five standard errors of a mean of counts of about that variance.
                    let tolerance = 5.0 * (expected / epochs as f64).sqrt();
                    let off = (share(i) - expected).abs();
                    assert!(off < tolerance, "{sampling:?} {i}: {} {expected}", share(i));
                }
            }
        }
    }

    #[test]
    fn one_photo_a_person_takes_each_person_once_and_in_time_all_photos() {
        let sampler = sampler(&Sampling::OnePhotoAPerson);
        assert_eq!(sampler.photos(), 5);
        let mut seen = [false; 12];
        for epoch in 0..60 {
            let order = sampler.order(1, epoch);
            let mut persons: Vec<usize> = order
                .iter()
                .map(|i| if *i < 10 { *i % 3 } else { *i })
                .collect();
            persons.sort_unstable();
            assert_eq!(persons, [0, 1, 2, 10, 11]);
            order.iter().for_each(|i| seen[*i] = true);
        }
        assert_eq!(seen, [true; 12]);
    }

    #[test]
    fn what_cannot_be_sampled_is_an_error_that_says_why() {
        let (spec, mut dataset, train) = example();
        let head = |head: &str, power| Sampling::ByHead {
            head: head.into(),
            power,
        };
        for (sampling, word) in [
            (head("masks", 1.0), "mask"),
            (head("mask", 1.5), "from 0 to 1"),
            (Sampling::ByClass { power: f64::NAN }, "from 0 to 1"),
        ] {
            let error = sampling.validate(&spec).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        dataset.samples.iter_mut().for_each(|s| s.values[0] = None);
        let error = Sampler::new(&Sampling::ByClass { power: 1.0 }, &spec, &dataset, &train);
        let error = error.err().unwrap().to_string();
        assert!(error.contains("train.sampling"), "{error}");
    }
}
