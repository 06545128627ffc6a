//! Synthetic portraits for trying the whole path without any data: procedural faces with and without masks.
//!
//! Every person has a face, hair, a wardrobe and an age; every photo of them another pose, light and mask. No single cue decides:
//! gender shows by hair, brows, jaw, beard, lashes, lips and earrings, each only likely; age by wrinkles, eye bags, sagging and
//! grey or receding hair. A mask hides some of them. Drawings are no substitute for photos: they show that training works.

mod camera;
mod canvas;
mod draw;
mod features;
mod hair;
mod mask;
mod outline;
mod person;
mod photo;
mod rng;

use crate::error::{Error, Result};
use mask::MaskState;
use person::Person;
use photo::Photo;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// What to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortraitConfig {
    /// People; each has three or four photos. At least 6, so that every class occurs.
    pub people: usize,
    /// The same seed gives the same files.
    pub seed: u64,
    /// Size of the photos, (height, width).
    pub size: (usize, usize),
}

impl Default for PortraitConfig {
    fn default() -> Self {
        Self {
            people: 240,
            seed: 0,
            size: (144, 112),
        }
    }
}

/// Splits of consecutive people: 12 train, 3 valid and 5 test of 20, spread evenly.
const SPLITS: [&str; 20] = [
    "train", "test", "train", "valid", "train", "train", "test", "train", "train", "test", "train",
    "valid", "train", "test", "train", "train", "valid", "train", "test", "train",
];

/// One photo to draw and its row of the listing.
struct Row {
    file: String,
    person: usize,
    split: &'static str,
    photo: u64,
    state: MaskState,
}

/// Draws portraits into `dir/images/` and lists them in `dir/portraits.csv`, whose path it returns.
///
/// The columns are `path` (relative to `dir`), `person`, `mask` (worn, incorrect, not_worn), `gender` (male, female), `age` (in
/// years, 18 to 85; under 30, 30 to 59 and from 60 in equal numbers) and `split`, which keeps a person's photos together.
///
/// # Errors
/// [`Error::Invalid`] if there are fewer than 6 people or the size is not within 32 to 1024 pixels, [`Error::Io`] if a file
/// cannot be written.
pub fn write_portraits(dir: &Path, config: &PortraitConfig) -> Result<PathBuf> {
    check(config)?;
    let images = dir.join("images");
    crate::io::create_folder(&images)?;
    let people: Vec<Person> = (0..config.people)
        .map(|i| Person::new(config.seed, i as u64))
        .collect();
    let rows = rows(config, &people);

    rows.par_iter().try_for_each(|row| {
        let person = &people[row.person];
        let bytes = Photo::new(person, row.photo, row.state).jpeg(config.size)?;
        let path = dir.join(&row.file);
        std::fs::write(&path, bytes).map_err(|e| Error::io("write", path, e))
    })?;

    let listing = dir.join("portraits.csv");
    let mut text = String::from("path,person,mask,gender,age,split\n");
    for row in &rows {
        let person = &people[row.person];
        text += &format!(
            "{},p{:04},{},{},{},{}\n",
            row.file,
            row.person,
            row.state.label(),
            person.gender(),
            person.age,
            row.split
        );
    }
    crate::io::write_atomically(&listing, text.as_bytes())?;
    Ok(listing)
}

fn check(config: &PortraitConfig) -> Result<()> {
    let invalid = |what: &str, expected: &str, found: String| {
        Err(Error::Invalid {
            what: what.into(),
            expected: expected.into(),
            found,
        })
    };
    if config.people < 6 {
        let expected = "at least 6, so that every class occurs";
        return invalid("people to draw", expected, config.people.to_string());
    }
    let (height, width) = config.size;
    if ![height, width].iter().all(|s| (32..=1024).contains(s)) {
        let found = format!("{height} × {width}");
        return invalid("size of portraits", "32 to 1024 pixels a side", found);
    }
    Ok(())
}

/// People of one gender and age band stand together in the order of splits, so each split gets its share of each.
fn rows(config: &PortraitConfig, people: &[Person]) -> Vec<Row> {
    let mut order: Vec<usize> = (0..people.len()).collect();
    order.sort_by_key(|i| (i % 6, *i));
    let mut splits = vec![SPLITS[0]; people.len()];
    for (place, person) in order.iter().enumerate() {
        splits[*person] = SPLITS[place % SPLITS.len()];
    }
    let mut rows = Vec::new();
    for (index, person) in people.iter().enumerate() {
        for (photo, state) in MaskState::of_person(config.seed, person)
            .into_iter()
            .enumerate()
        {
            rows.push(Row {
                file: format!("images/{index:04}-{photo}.jpg"),
                person: index,
                split: splits[index],
                photo: photo as u64,
                state,
            });
        }
    }
    rows
}
