//! Train, valid and test by person, so that nobody is recognised again in validation.

use super::dataset::{Dataset, Split, person_key};
use super::targets;
use crate::error::{Error, Result};
use crate::random::rng::{Purpose, keyed};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How the photos without a given split are divided.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// The part that goes to validation, from 0 to below 1.
    pub valid: f64,
    /// The part that goes to the test, from 0 to below 1.
    pub test: f64,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self {
            valid: 0.15,
            test: 0.15,
        }
    }
}

impl SplitConfig {
    /// Checks that something is left to train on.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the setting.
    pub(crate) fn validate(&self) -> Result<()> {
        for (what, part) in [("split.valid", self.valid), ("split.test", self.test)] {
            if !(0.0..1.0).contains(&part) {
                return Err(invalid(
                    what,
                    "a number from 0 to below 1",
                    part.to_string(),
                ));
            }
        }
        if self.valid + self.test >= 1.0 {
            let found = format!("{} + {}", self.valid, self.test);
            return Err(invalid("split.valid + split.test", "less than 1", found));
        }
        Ok(())
    }
}

/// The given side of each photo's person; `None` where none of the person's photos has one.
///
/// # Errors
/// [`Error::Data`] if given splits put a person on two sides.
pub(crate) fn given(dataset: &Dataset) -> Result<Vec<Option<Split>>> {
    let samples = &dataset.samples;
    let mut given = vec![None; samples.len()];
    if samples.iter().all(|s| s.split.is_none()) {
        return Ok(given);
    }
    let order = dataset.by_person(|_| true);
    let mut two_sides: Option<[usize; 2]> = None;
    for photos in dataset.persons_of(&order) {
        let mut with = photos.iter().filter(|i| samples[**i].split.is_some());
        let Some(first) = with.next() else { continue };
        let side = samples[*first].split;
        if let Some(other) = with.find(|i| samples[**i].split != side)
            && two_sides.is_none_or(|[_, before]| *other < before)
        {
            two_sides = Some([*first, *other]);
        }
        photos.iter().for_each(|i| given[*i] = side);
    }
    let Some([first, i]) = two_sides else {
        return Ok(given);
    };
    let on = |i: usize| {
        let side = samples[i].split.map(Split::name).unwrap_or_default();
        format!("in {side} ({})", dataset.place(&samples[i]))
    };
    Err(Error::Data {
        path: dataset.sources[samples[i].source].clone(),
        row: samples[i].row,
        message: format!(
            "a person stands on one side of the split, {} is {} and {}",
            person_key(&samples[i]),
            on(first),
            on(i)
        ),
    })
}

/// Gives every photo a side. A photo with a given split keeps it, and the person's other photos follow; the other persons are
/// divided by [`SplitConfig`], alike in all labels of all heads at once. Same seed, same persons, same split, whatever the order.
///
/// # Errors
/// [`Error::Invalid`] if the configuration is not valid, [`Error::Data`] if given splits put a person on two sides.
pub(crate) fn assign(dataset: &mut Dataset, config: &SplitConfig, seed: u64) -> Result<()> {
    config.validate()?;
    let mut sides = given(dataset)?;
    let free: Vec<bool> = sides.iter().map(Option::is_none).collect();
    let parts = [1.0 - config.valid - config.test, config.valid, config.test];
    let draws = keyed(seed, Purpose::Split, 0, 0);
    for (i, part) in divide(dataset, &free, &parts, draws)
        .into_iter()
        .enumerate()
    {
        if free[i] {
            sides[i] = Some(Split::ALL[part]);
        }
    }
    for (sample, side) in dataset.samples.iter_mut().zip(sides) {
        sample.split = side;
    }
    Ok(())
}

/// Where photos stand on `train` and `test` and none on `valid`, puts three in twenty of those on `train` on `valid`, whole
/// persons together, alike in all labels: else there is nothing to choose an epoch by. Same persons, same sides, whatever the
/// order.
pub(crate) fn hold_out_valid(dataset: &mut Dataset) {
    let sides: BTreeSet<Split> = dataset.samples.iter().filter_map(|s| s.split).collect();
    if sides != BTreeSet::from([Split::Train, Split::Test]) {
        return;
    }
    let train: Vec<bool> = dataset
        .samples
        .iter()
        .map(|s| s.split == Some(Split::Train))
        .collect();
    let share = SplitConfig::default().valid;
    let draws = keyed(0, Purpose::Split, 0, 0);
    let parts = divide(dataset, &train, &[1.0 - share, share], draws);
    for ((sample, train), part) in dataset.samples.iter_mut().zip(train).zip(parts) {
        if train && part == 1 {
            sample.split = Some(Split::Valid);
        }
    }
}

/// The fold, from 0 to below `k`, of every photo; folds are divided as splits are, and given splits play no part.
///
/// # Errors
/// [`Error::Invalid`] if there are not at least two folds and a person for each.
pub fn folds(dataset: &Dataset, k: usize, seed: u64) -> Result<Vec<usize>> {
    let persons = dataset.persons_of(&dataset.by_person(|_| true)).count();
    if k < 2 || k > persons {
        let expected = format!("from 2 to {persons}, the number of persons");
        return Err(invalid("folds", &expected, k.to_string()));
    }
    let all = vec![true; dataset.samples.len()];
    let draws = keyed(seed, Purpose::Split, 0, 0);
    Ok(divide(dataset, &all, &vec![1.0 / k as f64; k], draws))
}

/// Puts the photos of fold number `fold`, of those that [`folds`] gives, on the test side, and of the other persons the part
/// `valid` on the validation side, alike in all labels; the rest is there to train on. Given splits play no part. Same seed, same
/// persons, same sides, whatever the order.
///
/// # Errors
/// As [`folds`]; [`Error::OutOfRange`] if there is no such fold, [`Error::Invalid`] if `valid` is not a number from 0 to below 1.
pub fn assign_fold(
    dataset: &mut Dataset,
    k: usize,
    fold: usize,
    valid: f64,
    seed: u64,
) -> Result<()> {
    SplitConfig { valid, test: 0.0 }.validate()?;
    let folds = folds(dataset, k, seed)?;
    if fold >= k {
        return Err(Error::OutOfRange {
            what: "fold".into(),
            limit: k,
            found: fold,
        });
    }
    let rest: Vec<bool> = folds.iter().map(|f| *f != fold).collect();
    // Draws of its own for each fold, else the same persons would be on the validation side of most folds.
    let draws = keyed(seed, Purpose::Split, 1 + fold as u64, 0);
    let parts = divide(dataset, &rest, &[1.0 - valid, valid], draws);
    for ((sample, rest), part) in dataset.samples.iter_mut().zip(rest).zip(parts) {
        sample.split = Some(match (rest, part) {
            (false, _) => Split::Test,
            (true, 0) => Split::Train,
            (true, _) => Split::Valid,
        });
    }
    Ok(())
}

/// What has to be divided of one person.
struct Person {
    /// Where its photos begin, in the order of persons.
    photos: usize,
    /// Which combination of labels it has, in the order in which they were met.
    combination: u32,
    draw: u64,
}

/// A combination of labels that persons have.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Combination {
    /// How many persons have it.
    times: usize,
    /// The least draw of these.
    draw: u64,
    /// In the order in which combinations were met.
    number: u32,
}

/// The part of every photo that `takes_part`, 0 for the others.
///
/// Greedy, after Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of Multi-Label Data", with persons in place of
/// photos: the persons with the rarest combination of labels come first, drawn order breaks ties, and each goes to the part that
/// lacks most of the labels this person brings.
fn divide(
    dataset: &Dataset,
    takes_part: &[bool],
    parts: &[f64],
    mut draws: impl RngCore,
) -> Vec<usize> {
    // Column 0 counts photos, so that photos without any label are divided too; then one column a label.
    let mut offsets = vec![1];
    for head in &dataset.heads {
        offsets.push(offsets[offsets.len() - 1] + head.num_labels());
    }
    let columns = offsets[dataset.heads.len()];
    // How many photos of a person carry each label; of millions of persons that is worked out twice and not kept.
    let counts_of = |photos: &[usize]| {
        let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
        for i in photos {
            let sample = &dataset.samples[*i];
            *counts.entry(0).or_insert(0.0) += 1.0;
            for ((head, value), offset) in dataset.heads.iter().zip(&sample.values).zip(&offsets) {
                let labels = value.iter().flat_map(|v| targets::labels_of(head, v));
                for label in labels.filter(|l| *l < head.num_labels()) {
                    *counts.entry(label + offset).or_insert(0.0) += 1.0;
                }
            }
        }
        counts
    };
    // The keys are sorted, so a person's draw does not depend on the order of the photos.
    let by_person = dataset.by_person(|i| takes_part[i]);
    let mut persons: Vec<Person> = Vec::new();
    let mut totals = vec![0.0; columns];
    let mut met: HashMap<Vec<usize>, Combination> = HashMap::new();
    let mut begin = 0;
    for photos in dataset.persons_of(&by_person) {
        let counts = counts_of(photos);
        counts.iter().for_each(|(c, n)| totals[*c] += n);
        let draw = draws.next_u64();
        let number = met.len() as u32;
        let combination = met
            .entry(counts.into_keys().collect())
            .or_insert(Combination {
                times: 0,
                draw,
                number,
            });
        combination.times += 1;
        combination.draw = combination.draw.min(draw);
        persons.push(Person {
            photos: begin,
            combination: combination.number,
            draw,
        });
        begin += photos.len();
    }
    // The rarest first. Which of equally rare ones comes first is drawn too: persons of many photos have labels that nobody else
    // has together, and in a fixed order many would stand on one side whatever the seed.
    let mut rarest: Vec<Combination> = met.into_values().collect();
    rarest.sort_unstable();
    let mut rank = vec![0; rarest.len()];
    for (place, combination) in rarest.iter().enumerate() {
        rank[combination.number as usize] = place;
    }
    persons.sort_by_key(|p| (rank[p.combination as usize], p.draw));
    let mut placed = vec![0.0; columns];
    let mut have = vec![vec![0.0; columns]; parts.len()];
    let mut found = vec![0; dataset.samples.len()];
    for person in persons {
        let of_persons = &by_person[person.photos..];
        let photos = dataset.persons_of(of_persons).next().unwrap_or_default();
        let counts = counts_of(photos);
        // What a part lacks is measured against those placed so far, this person with them, not against the end: else the largest
        // part lacks most of the common labels for long and takes every person with a rare one. Relative to a label's total, so
        // that a rare label weighs as much as a common one.
        let need = |part: usize| -> f64 {
            let lacks = |c: usize, n: f64| parts[part] * (placed[c] + n) - have[part][c];
            let needs = counts.iter().map(|(c, n)| n * lacks(*c, *n) / totals[*c]);
            needs.sum()
        };
        let mut best = (0, f64::NEG_INFINITY);
        for part in (0..parts.len()).filter(|p| parts[*p] > 0.0) {
            let need = need(part);
            if need > best.1 {
                best = (part, need);
            }
        }
        for (column, count) in &counts {
            placed[*column] += count;
            have[best.0][*column] += count;
        }
        photos.iter().for_each(|i| found[*i] = best.0);
    }
    found
}

fn invalid(what: &str, expected: &str, found: String) -> Error {
    Error::Invalid {
        what: what.into(),
        expected: expected.into(),
        found,
    }
}
