//! The sides that a run's `split.csv` gives.

use crate::data::dataset::{Dataset, Split};
use crate::data::table::Table;
use crate::error::{Error, Result};
use crate::io::files::Files;
use std::collections::HashMap;
use std::path::Path;

/// Gives the photos that a CSV with the columns `path` and `split` names the sides it says, as if their listing said so; `path`
/// is as the listing writes it. With a column `listing` it tells apart photos that two listings call the same. The number of its
/// rows whose photo is in no listing.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; [`Error::Data`] with file and line for a row that cannot be used, a photo of several
/// listings that it does not tell apart, and one whose listing gives another side; and if it is of none of the photos.
pub fn apply_split_file(dataset: &mut Dataset, path: &Path) -> Result<usize> {
    let table = Table::read(path, 0)?;
    if let Some(first) = table.faults.first() {
        return Err(first.clone().into());
    }
    let (at_path, at_split) = (table.needed("path")?, table.needed("split")?);
    let at_listing = table.header.iter().position(|name| name == "listing");
    let mut files = Files::default();
    let sources: Vec<_> = dataset.sources.iter().map(|s| files.file(s)).collect();
    let mut places: HashMap<String, Vec<usize>> = HashMap::new();
    for (i, sample) in dataset.samples.iter().enumerate() {
        places.entry(sample.name.clone()).or_default().push(i);
    }
    let (mut strangers, mut given) = (0, 0);
    for row in &table.rows {
        let fault = |message: String| Error::Data {
            path: path.into(),
            row: Some(row.line),
            message,
        };
        let (name, word) = (&row.cells[at_path], &row.cells[at_split]);
        if word.is_empty() {
            continue;
        }
        let side: Split = word.parse().map_err(|e: Error| fault(e.to_string()))?;
        let mut found = places.get(name).cloned().unwrap_or_default();
        if let Some(at) = at_listing.filter(|_| found.len() > 1) {
            let listing = files.file(Path::new(&row.cells[at]));
            found.retain(|i| sources[dataset.samples[*i].source] == listing);
        }
        let place = match found[..] {
            [] => {
                strangers += 1;
                continue;
            }
            [place] => place,
            _ => {
                return Err(fault(format!(
                    "photos that can be told apart are needed, found `{name}` in {} listings; a column `listing` tells them apart",
                    found.len()
                )));
            }
        };
        let sample = &dataset.samples[place];
        if let Some(before) = sample.split.filter(|before| *before != side) {
            return Err(fault(format!(
                "the side that the listing gives is needed, `{name}` is on {before} there ({}) and on {side} here",
                dataset.place(sample)
            )));
        }
        dataset.samples[place].split = Some(side);
        given += 1;
    }
    if given == 0 {
        return Err(Error::Data {
            path: path.into(),
            row: None,
            message: format!(
                "sides of photos of the listings are needed, found none among {} rows; `path` is to be as the listing writes it",
                table.rows.len()
            ),
        });
    }
    Ok(strangers)
}
