//! The person-folder layout, read as it is: `train.csv` with one row a person, and a folder of photos for each.
//!
//! ```text
//! train.csv                        id,gender,race,age,path
//! images/000004_male_Asian_54/     incorrect_mask.jpg  mask1.jpg … mask5.jpg  normal.jpg
//! ```
//!
//! For prediction, a listing `info.csv` (`ImageID,ans`) names the photos, and a copy of it takes the answers.

use super::columns::{ColumnNames, Columns, Naming};
use super::sample::{Fault, Sample};
use super::table::Table;
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::input::is_image_name;
use crate::io::table::write_csv;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The column whose value comes from the name of a photo's file.
const MASK: &str = "mask";

/// The `train.csv` of a person folder, given the folder that holds it or the one above; `None` if it is no person folder.
pub(crate) fn find_listing(folder: &Path) -> Option<PathBuf> {
    [folder.to_path_buf(), folder.join("train")]
        .iter()
        .find(|f| f.join("train.csv").is_file() && f.join("images").is_dir())
        .map(|f| f.join("train.csv"))
}

/// Reads `train.csv` and lists the photos of each person. The heads find the columns `mask` (`worn`, `incorrect` or `not_worn`,
/// by the photo's name) and whatever stands in the file: `gender`, `race`, `age`.
///
/// The person is the id, or the folder's name where two folders share an id. Rows and photos that cannot be used are left out and
/// come back as faults.
///
/// # Errors
/// As [`Table::read`]; [`Error::Data`] if its header does not serve.
pub fn read_people(
    listing: &Path,
    source: usize,
    heads: &[HeadSpec],
) -> Result<(Vec<Sample>, Vec<Fault>)> {
    let mut table = Table::read(listing, source)?;
    let (id, folder) = (table.needed("id")?, table.needed("path")?);
    let columns = Columns::find(&table, heads, &[MASK], Naming::given(&ColumnNames::new()))?;
    let images = listing.with_file_name("images");
    let rows = std::mem::take(&mut table.rows);
    let mut folders_of: HashMap<&str, Vec<&str>> = HashMap::new();
    for row in &rows {
        let folders = folders_of.entry(row.cells[id].trim()).or_default();
        if !folders.contains(&row.cells[folder].trim()) {
            folders.push(row.cells[folder].trim());
        }
    }
    let mut samples = Vec::new();
    for row in &rows {
        let (start, before) = (samples.len(), table.faults.len());
        let (person_id, name) = (row.cells[id].trim(), row.cells[folder].trim());
        for (column, cell) in [("id", person_id), ("path", name)] {
            if cell.is_empty() {
                table.fault(
                    row.line,
                    format!("column `{column}`: a value is needed, found an empty cell"),
                );
            }
        }
        let photos = match name {
            "" => BTreeMap::new(),
            _ => list_photos(&images.join(name), row.line, &mut table),
        };
        let shared = folders_of.get(person_id).is_some_and(|f| f.len() > 1);
        let person = if shared { name } else { person_id };
        for (file, mask) in photos {
            let known = table.faults.len();
            let (values, _, split) = columns.parse(&mut table, row, heads, &[(MASK, mask)]);
            // A wrong cell of a person is one fault, not one a photo.
            for fault in table.faults.split_off(known) {
                if !table.faults[before..].contains(&fault) {
                    table.faults.push(fault);
                }
            }
            samples.push(Sample {
                photo: images.join(name).join(&file).into(),
                name: format!("images/{name}/{file}"),
                person: Some(person.to_string()),
                split,
                values,
                row: Some(row.line),
                source,
            });
        }
        if table.faults.len() > before {
            samples.truncate(start);
        }
    }
    Ok((samples, table.faults))
}

/// The photos in a person's folder by name, each with its mask label.
fn list_photos(folder: &Path, line: u64, table: &mut Table) -> BTreeMap<String, &'static str> {
    let mut photos = BTreeMap::new();
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        Err(e) => {
            table.fault(line, Error::io("list", folder, e).to_string());
            return photos;
        }
    };
    let mut names: Vec<String> = files
        .filter_map(|f| f.ok()?.file_name().into_string().ok())
        .filter(|n| !n.starts_with('.') && is_image_name(Path::new(n)))
        .collect();
    names.sort();
    for name in names {
        let stem = name
            .rsplit_once('.')
            .map_or(name.as_str(), |(stem, _)| stem);
        if photos
            .keys()
            .any(|k: &String| k.rsplit_once('.').map(|(s, _)| s) == Some(stem))
        {
            table.fault(
                line,
                format!(
                    "each photo is there once, found another `{stem}` in {}",
                    folder.display()
                ),
            );
            continue;
        }
        match mask_of(stem) {
            Some(mask) => {
                photos.insert(name, mask);
            }
            None => table.fault(
                line,
                format!(
                    "photos named incorrect_mask, mask1, mask2 … or normal are needed, found `{name}` in {}",
                    folder.display()
                ),
            ),
        }
    }
    if photos.is_empty() {
        table.fault(
            line,
            format!("photos are needed, found none in {}", folder.display()),
        );
    }
    photos
}

/// The mask label that a photo's name without its ending stands for.
fn mask_of(stem: &str) -> Option<&'static str> {
    match stem {
        "incorrect_mask" => Some("incorrect"),
        "normal" => Some("not_worn"),
        _ => {
            let number = stem.strip_prefix("mask")?;
            (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some("worn")
        }
    }
}

/// The column `ImageID` of a listing for prediction, in order. The photos lie in `images/` beside the listing.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Data`] if the column or a cell of it is missing.
pub fn read_listing(listing: &Path) -> Result<Vec<String>> {
    let table = Table::read(listing, 0)?;
    let column = table.needed("ImageID")?;
    if let Some(first) = table.faults.into_iter().next() {
        return Err(first.into());
    }
    table
        .rows
        .into_iter()
        .map(|mut row| match row.cells.swap_remove(column) {
            id if id.trim().is_empty() => Err(Error::Data {
                path: listing.into(),
                row: Some(row.line),
                message: "column `ImageID`: a photo is needed, found an empty cell".into(),
            }),
            id => Ok(id),
        })
        .collect()
}

/// The columns of an answered listing.
pub(crate) const RESULT: [&str; 2] = ["ImageID", "ans"];

/// Writes `ImageID,ans` with the same rows in the same order as the listing; a reader never sees half of the file.
///
/// # Errors
/// [`Error::Invalid`] if there is not one answer a row, [`Error::Io`] if the file cannot be written.
pub fn write_result(path: &Path, listing: &[String], answers: &[usize]) -> Result<()> {
    if listing.len() != answers.len() {
        return Err(Error::Invalid {
            what: "answers".into(),
            expected: format!("{}, one a row of the listing", listing.len()),
            found: answers.len().to_string(),
        });
    }
    let rows = listing.iter().zip(answers);
    let rows = rows.map(|(id, answer)| [id.clone(), answer.to_string()]);
    write_csv(path, RESULT, rows)
}
