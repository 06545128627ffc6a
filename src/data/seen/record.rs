//! The record that a training makes.

use super::content::{Content, content, contents};
use super::golomb::encode;
use super::{Known, Of, hash};
use crate::data::dataset::{Dataset, Split};
use crate::error::{Error, Result};
use crate::model_file::{Description, Seen, SeenSet, SeenSides};
use crate::tensors::hash::hexadecimal;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;

/// The most bytes of all records: a safetensors file's header, which they are in, has at most 100 MB. About 22 million photos and
/// persons.
const LONGEST: usize = 80_000_000;

/// The records of a model trained on this data: its own, and those of the weights it starts from.
#[derive(Default)]
pub(crate) struct Record(pub(crate) Vec<Seen>);

/// What to say of photos whose files are equal to the byte and that stand on different sides, if there are any.
pub(crate) fn copies(dataset: &Dataset, contents: &[Option<Content>]) -> Option<String> {
    let mut first: HashMap<Content, usize> = HashMap::new();
    let mut pairs = Vec::new();
    for (i, content) in contents.iter().enumerate() {
        let (Some(content), Some(side)) = (content, dataset.samples[i].split) else {
            continue;
        };
        let before = *first.entry(*content).or_insert(i);
        if dataset.samples[before].split != Some(side) {
            pairs.push([before, i]);
        }
    }
    let of = |i: usize| {
        let sample = &dataset.samples[i];
        let side = sample.split.map(Split::name).unwrap_or_default();
        format!("`{}` on {side}", sample.name)
    };
    let [one, other] = pairs.first()?.map(of);
    Some(format!(
        "warning: {} photos are equal to the byte to one on another side of the split, {one} and {other} first: scores of them are of what was learnt by heart",
        pairs.len()
    ))
}

impl Record {
    /// `fingerprint` is that of the data, `contents` is of its photos in order.
    ///
    /// # Errors
    /// As [`in_conflict`].
    pub(crate) fn new(
        dataset: &Dataset,
        fingerprint: &str,
        contents: &[Option<Content>],
    ) -> Result<Self> {
        let advice = "put them on train, leave the sides open, or start from other weights";
        in_conflict(dataset, contents, advice)?;
        let salt = salt("hydranet: who a model has seen\n", fingerprint);
        let mut photos = SeenSides::default();
        let mut persons = SeenSides::default();
        for side in Split::ALL {
            let indices = dataset.indices(side);
            let of_photos = indices.iter().filter_map(|i| contents[*i]);
            let of_photos = of_photos.map(|c| hash(&salt, Of::Photo, &c));
            let of_persons = indices
                .iter()
                .filter_map(|i| dataset.samples[*i].person.as_deref());
            let of_persons = of_persons.map(|p| hash(&salt, Of::Person, p.as_bytes()));
            *set(&mut photos, side) = encode(&unique(of_photos));
            *set(&mut persons, side) = encode(&unique(of_persons));
        }
        let own = Seen {
            salt,
            photos,
            persons,
            incomplete: false,
        };
        let mut records = dataset.seen.clone();
        Seen::join(&mut records, &[own]);
        if records.iter().map(Seen::length).sum::<usize>() > LONGEST {
            records = vec![Seen {
                incomplete: true,
                ..Seen::default()
            }];
        }
        Ok(Self(records))
    }
}

/// Records that a model's temperatures, threshold or decision were found on these photos, where its record does not have them on
/// the training or validation side already: they are no test any more. A file without a record stays without.
///
/// # Errors
/// [`Error::Checkpoint`] if its record is damaged.
pub fn record_valid(
    description: &mut Description,
    dataset: &Dataset,
    indices: &[usize],
) -> Result<()> {
    if description.seen.is_empty() {
        return Ok(());
    }
    let known = Known::new(&description.seen)?;
    let photos: Vec<Content> = indices
        .iter()
        .filter_map(|i| content(&dataset.samples[*i]))
        .collect();
    let used = |c: &Content| known.photo(c).is_some_and(|side| side < Split::Test);
    if photos.iter().all(used) {
        return Ok(());
    }
    let salt = salt(
        "hydranet: what a model was fitted to\n",
        &dataset.fingerprint(),
    );
    let persons = indices
        .iter()
        .filter_map(|i| dataset.samples[*i].person.as_deref());
    let persons = persons.map(|p| hash(&salt, Of::Person, p.as_bytes()));
    let photos = photos.iter().map(|c| hash(&salt, Of::Photo, c));
    let of = |hashes: Vec<u64>| SeenSides {
        valid: encode(&hashes),
        ..SeenSides::default()
    };
    let own = Seen {
        photos: of(unique(photos)),
        persons: of(unique(persons)),
        salt,
        incomplete: false,
    };
    Seen::join(&mut description.seen, &[own]);
    Ok(())
}

/// Refuses weights to start from that have learnt from any of the photos, where each of these is held out once: before anything
/// is trained.
///
/// # Errors
/// [`Error::Invalid`] with the number of these photos and the first of them.
pub fn check_held_out(dataset: &Dataset, seen: Vec<Seen>) -> Result<()> {
    if seen.is_empty() {
        return Ok(());
    }
    let mut held_out = Dataset {
        seen,
        ..dataset.clone()
    };
    for sample in &mut held_out.samples {
        sample.split = Some(Split::Test);
    }
    let contents = contents(&held_out, &AtomicBool::new(false), &|_, _| ());
    let advice = "every photo is held out once here, so start from other weights";
    in_conflict(&held_out, &contents.unwrap_or_default(), advice)
}

/// Sixteen digits that follow from the data.
fn salt(purpose: &str, fingerprint: &str) -> String {
    let mut salt = Sha256::new();
    salt.update(purpose);
    salt.update(fingerprint);
    hexadecimal(salt.finalize())[..16].to_string()
}

fn unique(hashes: impl Iterator<Item = u64>) -> Vec<u64> {
    hashes.collect::<BTreeSet<u64>>().into_iter().collect()
}

fn set(sides: &mut SeenSides, side: Split) -> &mut SeenSet {
    match side {
        Split::Train => &mut sides.train,
        Split::Valid => &mut sides.valid,
        Split::Test => &mut sides.test,
    }
}

/// Refuses to validate or test on photos that the weights a training starts from have learnt from already, and to test on those
/// they were chosen by: the scores would not be true.
///
/// # Errors
/// [`Error::Invalid`] with their number and the first of them.
fn in_conflict(dataset: &Dataset, contents: &[Option<Content>], advice: &str) -> Result<()> {
    if dataset.seen.is_empty() {
        return Ok(());
    }
    let known = Known::new(&dataset.seen)?;
    let before = known.sides_for_training(dataset, contents);
    // A photo that was there twice, on both sides, is not more known than it was.
    let was_there = |i: usize, now| contents[i].is_some_and(|c| known.photo_was_on(&c, now));
    let wrong: Vec<usize> = (0..before.len())
        .filter(|i| {
            let now = dataset.samples[*i].split;
            before[*i].is_some_and(|b| now.is_some_and(|now| b < now && !was_there(*i, now)))
        })
        .collect();
    // Three sets a record, of which each takes a stranger for a member once in 2^20 times: four times as many as that are chance.
    let chance = (3 * dataset.seen.len() * before.len()).div_ceil(1 << 18);
    let allowed = if before.len() < 1000 { 0 } else { chance + 2 };
    let Some(first) = wrong.first().filter(|_| wrong.len() > allowed) else {
        return Ok(());
    };
    let sample = &dataset.samples[*first];
    Err(Error::Invalid {
        what: "the split".into(),
        expected: format!(
            "photos to validate and test on that the weights which the training starts from (model.weights) have not learnt from; {advice}"
        ),
        found: format!(
            "{} of {} photos that stand on another side now; the first is `{}` ({}), on {} then and {} now",
            wrong.len(),
            before.len(),
            sample.name,
            dataset.place(sample),
            before[*first].map(Split::name).unwrap_or_default(),
            sample.split.map(Split::name).unwrap_or_default(),
        ),
    })
}
