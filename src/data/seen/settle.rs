//! The photos of a listing on the sides where they stood when some models were trained.

use super::Known;
use super::content::contents;
use crate::data::broken::file_content;
use crate::data::corrections::Corrections;
use crate::data::dataset::{Dataset, PersonKey, Split, person_key};
use crate::data::split::{self, SplitConfig};
use crate::error::{Error, Result};
use crate::model_file::{Description, Seen};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicBool;

/// How the photos of a listing stand to the models that are used on them. [`Display`](fmt::Display) gives a line or more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sides {
    /// Photos that no model has seen, nor their persons.
    pub new: usize,
    /// Photos that were held out of every training.
    pub test: usize,
    /// Photos that a model was chosen by, or whose persons were.
    pub valid: usize,
    /// Photos that a model learnt from, or whose persons it learnt from.
    pub train: usize,
    /// Those of them of which no photo is known, but a person of the same name.
    #[serde(skip_serializing_if = "is_zero")]
    pub by_name: usize,
    /// Photos of which it cannot be known, since a model's file does not say whom it has seen.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown: usize,
    /// Photos on a side that the listing gives and that was true of none of the models: they count as what they were used for.
    #[serde(skip_serializing_if = "is_zero")]
    pub claimed: usize,
    /// What cannot be known, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Whether it would be known if the sides of the training were given.
    #[serde(skip)]
    pub asks_for_sides: bool,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl fmt::Display for Sides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.new + self.test + self.valid + self.train + self.unknown;
        write!(
            f,
            "of {all} photos {} were trained on, {} validated on, {} held out for the test, {} are new",
            self.train, self.valid, self.test, self.new
        )?;
        if self.unknown > 0 {
            write!(f, ", of {} it cannot be known", self.unknown)?;
        }
        if self.by_name > 0 {
            write!(
                f,
                "\n{} of them are known by their persons' names alone; if these are other people, take the column `person` out of the listing or score all photos, whatever side they stand on",
                self.by_name
            )?;
        }
        if self.claimed > 0 {
            write!(
                f,
                "\n{} photos stand on a side in the listing that they did not stand on in training: they count as what they were used for",
                self.claimed
            )?;
        }
        self.notes.iter().try_for_each(|note| write!(f, "\n{note}"))
    }
}

/// Puts every photo on the side where it stood when these models were trained: what one of them learnt from is on `train`, what
/// one was chosen by on `valid`, and the rest, with what none has seen, on `test`, whole persons together. A side that the
/// listing gives holds as long as it claims nothing better.
///
/// Of a model whose file is of before and has no record the split is computed again, as it was then; whether it is the right one
/// can be told only while the listing is unchanged. `corrections` are looked at for that and not applied. Without a record and
/// without the configuration nothing is known, and a photo without a given side gets none.
///
/// # Errors
/// [`Error::Checkpoint`](crate::Error::Checkpoint) if a record is damaged, [`Error::Data`](crate::Error::Data) if the listing
/// puts a person on two sides.
pub fn settle(
    dataset: &mut Dataset,
    models: &[&Description],
    corrections: &Corrections,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Sides> {
    let given = split::given(dataset)?;
    let contents = contents(dataset, &AtomicBool::new(false), progress).unwrap_or_default();
    let mut sides = Sides::default();
    let mut used: Vec<Option<Split>> = vec![None; dataset.samples.len()];
    let mut unknown = vec![false; dataset.samples.len()];
    let mut by_name = vec![false; dataset.samples.len()];
    for (place, model) in models.iter().enumerate() {
        let name = match models.len() {
            1 => "the model's file".to_string(),
            _ => format!("the file of model {}", place + 1),
        };
        let of_model = if model.seen.is_empty() {
            match computed_again(dataset, model, corrections)? {
                Some((found, true)) => found,
                Some((found, false)) => {
                    sides.asks_for_sides = true;
                    sides.notes.push(format!("{name} does not say whom it was trained on, and this listing is not the one it was trained on as it was then: the sides are computed again, and whether they are right cannot be known; the run's split.csv has them"));
                    found
                }
                None => {
                    sides.asks_for_sides = true;
                    sides.notes.push(format!("{name} does not say whom it was trained on, nor how: what it has seen cannot be known; give the sides, in the listing or beside it"));
                    unknown.iter_mut().for_each(|u| *u = true);
                    vec![None; used.len()]
                }
            }
        } else {
            if model.seen.iter().any(|seen| seen.incomplete) {
                sides.notes.push(format!("{name} does not say of everybody whom it has seen: scores may be of photos that it learnt from"));
            }
            let known = Known::new(&model.seen).map_err(|e| Error::Checkpoint {
                origin: name.clone(),
                problem: "what it has seen is not readable".into(),
                source: Some(e.into()),
            })?;
            let found = known.sides(dataset, &contents);
            for (known, found) in by_name.iter_mut().zip(&found) {
                *known |= found.is_some_and(|(_, by_name)| by_name);
            }
            let found = found.into_iter();
            found.map(|found| found.map(|(side, _)| side)).collect()
        };
        for (used, found) in used.iter_mut().zip(of_model) {
            *used = least(*used, found);
        }
    }
    for (i, sample) in dataset.samples.iter_mut().enumerate() {
        match (used[i], unknown[i]) {
            (Some(Split::Train), _) => sides.train += 1,
            (Some(Split::Valid), _) => sides.valid += 1,
            (_, true) => sides.unknown += 1,
            (Some(Split::Test), _) => sides.test += 1,
            (None, _) => sides.new += 1,
        }
        if let (Some(used), Some(given)) = (used[i], given[i])
            && used < given
        {
            sides.claimed += 1;
        }
        let otherwise = (!unknown[i]).then_some(Split::Test);
        sample.split = least(used[i], given[i]).or(otherwise);
    }
    sides.by_name = by_name.into_iter().filter(|by_name| *by_name).count();
    Ok(sides)
}

/// Puts photos without a given side on that where they stood when the weights were trained that a training starts from, so that
/// it does not validate on what they have learnt from; the rest is left to [`split::assign`]. The records go on into the new
/// model's.
///
/// # Errors
/// As [`settle`].
pub fn follow(dataset: &mut Dataset, seen: Vec<Seen>) -> Result<()> {
    dataset.seen = seen;
    if dataset.seen.is_empty() {
        return Ok(());
    }
    let given = split::given(dataset)?;
    let contents = contents(dataset, &AtomicBool::new(false), &|_, _| ()).unwrap_or_default();
    let used = Known::new(&dataset.seen)?.sides_for_training(dataset, &contents);
    let samples = dataset.samples.iter_mut().zip(contents);
    for (((sample, content), given), used) in samples.zip(given).zip(used) {
        sample.split = given.or(used);
        let known = content.and_then(|content| file_content(sample, content));
        dataset.contents.extend(known);
    }
    Ok(())
}

impl Dataset {
    /// Puts photos without a given side where they stood when `model` was trained, whose backbone or heads a training starts
    /// from, so that it does not validate on what they have learnt from; what the model has not seen is left to
    /// [`put_on_sides`](Self::put_on_sides). What is trained then says whom the model has seen, too.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if the record is damaged, [`Error::Data`] if the listing puts a person on two sides.
    pub fn follow(&mut self, model: &Description) -> Result<()> {
        follow(self, model.records())
    }
}

/// Of a training's configuration what the sides followed from.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SplitThen {
    seed: u64,
    split: SplitConfig,
}

/// The sides of a model without a record by the split of its configuration, and whether the data is what it was then.
fn computed_again(
    dataset: &Dataset,
    model: &Description,
    corrections: &Corrections,
) -> Result<Option<(Vec<Option<Split>>, bool)>> {
    let config = model.training["config"].clone();
    let Ok(config) = serde_json::from_value::<SplitThen>(config) else {
        return Ok(None);
    };
    let mut then = dataset.clone();
    split::assign(&mut then, &config.split, config.seed)?;
    let sides = then.samples.iter().map(|s| s.split).collect();
    let fingerprint = model.training["data"].as_str();
    let mut same = fingerprint == Some(&then.fingerprint());
    if !same {
        corrections.apply(&mut then)?;
        same = fingerprint == Some(&then.fingerprint());
    }
    Ok(Some((sides, same)))
}

/// Of two sides the one that was used more.
pub(crate) fn least(a: Option<Split>, b: Option<Split>) -> Option<Split> {
    a.into_iter().chain(b).min()
}

/// Each photo on the side of its person that was used most.
pub(crate) fn together(dataset: &Dataset, own: &[Option<Split>]) -> Vec<Option<Split>> {
    let mut persons: HashMap<PersonKey, Split> = HashMap::new();
    for (sample, side) in dataset.samples.iter().zip(own) {
        if let Some(side) = *side {
            let of = persons.entry(person_key(sample)).or_insert(side);
            *of = (*of).min(side);
        }
    }
    let samples = dataset.samples.iter();
    samples
        .map(|s| persons.get(&person_key(s)).copied())
        .collect()
}
