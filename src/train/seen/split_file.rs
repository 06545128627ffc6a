//! The sides that a run's `split.csv` gives.

use crate::error::{Error, Result};
use crate::read;
use crate::train::dataset::{Dataset, Split};
use std::collections::HashMap;
use std::path::Path;

/// Gives the photos that a CSV with the columns `path` and `split` names the sides it says, as if their listing said so; `path` is as
/// the listing writes it. With a column `listing` it tells apart photos that two listings call the same. The number of its rows whose
/// photo is in no listing.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::Data`] with file and line for a row that cannot be used, a photo of several listings that it
/// does not tell apart, and one whose listing gives another side.
pub fn apply_split_file(dataset: &mut Dataset, path: &Path) -> Result<usize> {
    let fault = |row: Option<u64>, message: String| Error::Data {
        path: path.into(),
        row,
        message,
    };
    let broken = |e: csv::Error| {
        let row = e.position().map(|p| p.line());
        fault(row, e.to_string())
    };
    let (file, _) = read::open_within(path, read::LISTING)?;
    let mut reader = csv::Reader::from_reader(file);
    let header = reader.headers().map_err(broken)?.clone();
    let column = |name: &str| header.iter().position(|h| h == name);
    let needed = |name: &str| {
        column(name).ok_or_else(|| {
            let found: Vec<&str> = header.iter().collect();
            fault(
                Some(1),
                format!(
                    "a column `{name}` is needed, found the columns {}",
                    found.join(", ")
                ),
            )
        })
    };
    let (at_path, at_split, at_listing) = (needed("path")?, needed("split")?, column("listing"));
    let mut places: HashMap<String, Vec<usize>> = HashMap::new();
    for (i, sample) in dataset.samples.iter().enumerate() {
        places.entry(sample.name.clone()).or_default().push(i);
    }
    let mut strangers = 0;
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let row = record.position().map(|p| p.line());
        let cell = |at: usize| record.get(at).unwrap_or_default();
        let (name, word) = (cell(at_path), cell(at_split));
        if word.is_empty() {
            continue;
        }
        let side: Split = word.parse().map_err(|e: Error| fault(row, e.to_string()))?;
        let listing = at_listing.map(cell);
        let of_listing = |i: &&usize| {
            let source = &dataset.sources[dataset.samples[**i].source];
            listing.is_none_or(|l| Path::new(l) == source)
        };
        let found: Vec<usize> = places
            .get(name)
            .into_iter()
            .flatten()
            .filter(of_listing)
            .copied()
            .collect();
        let place = match found[..] {
            [] => {
                strangers += 1;
                continue;
            }
            [place] => place,
            _ => {
                return Err(fault(
                    row,
                    format!(
                        "photos that can be told apart are needed, found `{name}` in {} listings; a column `listing` tells them apart",
                        found.len()
                    ),
                ));
            }
        };
        let sample = &mut dataset.samples[place];
        if let Some(given) = sample.split
            && given != side
        {
            return Err(fault(
                row,
                format!(
                    "the side that the listing gives is needed, `{name}` is on {given} there ({}{}) and on {side} here",
                    sample
                        .row
                        .map(|r| format!("line {r} of "))
                        .unwrap_or_default(),
                    dataset.sources[sample.source].display()
                ),
            ));
        }
        sample.split = Some(side);
    }
    Ok(strangers)
}
