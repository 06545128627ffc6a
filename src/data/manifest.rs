//! Listings in CSV: a column of photos, a column a head, and optionally persons and sides.

use super::columns::{Columns, Naming};
use super::sample::{Fault, Sample};
use super::table::Table;
use super::template::{PathCells, Template};
use crate::error::Result;
use crate::head::HeadSpec;
use std::path::Path;

/// Bytes that a row has at least, but for few.
const LEAST: usize = 16;

/// Reads a listing. Photos are found relative to its folder; an empty cell is a label that is not known. Further columns are
/// passed over, and a head may lack its column as long as another has one.
///
/// Rows that cannot be used are left out and come back as faults, in order.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the file cannot be read, [`Error::Data`](crate::Error::Data) if it is not CSV in UTF-8 or
/// its header does not serve.
pub(crate) fn read_manifest(
    path: &Path,
    source: usize,
    heads: &[HeadSpec],
    naming: Naming,
) -> Result<(Vec<Sample>, Vec<Fault>)> {
    let bytes = crate::io::read::bytes(path, crate::io::read::LISTING)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut samples = Vec::new();
    // Of millions of rows none is copied when room runs out; without so much room at once it is found as it is needed.
    let lines = bytes.iter().filter(|b| **b == b'\n').count();
    let _ = samples.try_reserve_exact(lines.min(bytes.len() / LEAST));
    let begin = |table: &Table| {
        let photo = photo_column(table, naming)?;
        Ok((photo, Columns::find(table, heads, &[], naming)?))
    };
    let (table, _) = Table::walk(
        &bytes,
        path,
        source,
        begin,
        |table, (photo, columns), row| {
            let (values, person, split) = columns.parse(table, &row, heads, &[]);
            let name = photo.path(&row).unwrap_or_else(|| {
                let title = photo.title(table);
                let message = format!("column `{title}`: a photo is needed, found an empty cell");
                table.fault(row.line, message);
                String::new()
            });
            if table.faults.last().is_none_or(|f| f.row != Some(row.line)) {
                samples.push(Sample {
                    photo: folder.join(&name).into(),
                    name,
                    person,
                    split,
                    values,
                    row: Some(row.line),
                    source,
                });
            }
        },
    )?;
    Ok((samples, table.faults))
}

/// Where a listing's photos stand: as `path` is named, or in the column `path`.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) if there is no such column.
pub(crate) fn photo_column(table: &Table, naming: Naming) -> Result<PathCells> {
    let usual = || table.header.iter().position(|c| c == "path");
    let named = naming.of("path").map(Template::parse);
    match named {
        Some(Ok(template)) => match (template.over(table), usual()) {
            (Err(_), Some(place)) if naming.takes_usual() => Ok(PathCells::column(place)),
            (found, _) => found,
        },
        Some(Err(message)) => Err(table.header_error(message)),
        None => table.needed("path").map(PathCells::column),
    }
}
