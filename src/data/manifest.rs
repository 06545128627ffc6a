//! Listings, in CSV, Parquet or tar: a column of photos, a column a head, and optionally persons and sides.

use super::columns::{Columns, Naming};
use super::held::{self, is_held};
use super::photo_cells::Photos;
use super::sample::{Fault, Sample};
use super::table::{Row, Table};
use super::template::{PathCells, Template};
use crate::error::Result;
use crate::head::HeadSpec;
use crate::input::PhotoSource;
use crate::location::{folder_of, without_query};
use std::path::Path;

/// Bytes that a row has at least, but for few.
const LEAST: usize = 16;

/// Reads a listing. Photos are found relative to its folder; an empty cell is a label that is not known. Further columns are
/// passed over, and a head may lack its column as long as another has one. One in Parquet or tar may hold its photos itself.
///
/// Rows that cannot be used are left out and come back as faults, in order.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the file cannot be read, [`Error::Data`](crate::Error::Data) if it is not CSV in UTF-8, or
/// no Parquet although it is called so, or its header does not serve.
pub(crate) fn read_manifest(
    path: &Path,
    source: usize,
    heads: &[HeadSpec],
    naming: Naming,
) -> Result<(Vec<Sample>, Vec<Fault>)> {
    let mut samples = Samples {
        path,
        source,
        heads,
        found: Vec::new(),
    };
    if is_held(path) {
        let (listing, mut table) = held::open(path, source)?;
        let mut photos = listing.photos(&table, naming)?;
        let columns = Columns::find(&table, heads, &[], naming)?;
        let mut needed = photos.read();
        needed.extend(columns.read());
        listing.rows(&mut table, &needed, &mut |table, row| {
            samples.add(table, &mut photos, &columns, &row);
        })?;
        return Ok((samples.found, table.faults));
    }
    let bytes = crate::io::read::bytes(path, crate::io::read::LISTING)?;
    // Of millions of rows none is copied when room runs out; without so much room at once it is found as it is needed.
    let lines = bytes.iter().filter(|b| **b == b'\n').count();
    let _ = samples
        .found
        .try_reserve_exact(lines.min(bytes.len() / LEAST));
    let begin = |table: &Table| {
        let photo = Photos::Paths(photo_column(table, naming)?);
        Ok((photo, Columns::find(table, heads, &[], naming)?))
    };
    let (table, _) = Table::walk(
        &bytes,
        path,
        source,
        begin,
        |table, (photos, columns), row| samples.add(table, photos, columns, &row),
    )?;
    Ok((samples.found, table.faults))
}

/// A photo and what its listing calls it.
pub(crate) type NamedSource = (String, PhotoSource);

/// Whether a path is called as a listing.
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
pub(crate) fn is_listing(path: &Path) -> bool {
    let end = without_query(path).extension();
    is_held(path) || end.is_some_and(|end| end.eq_ignore_ascii_case("csv"))
}

/// The photos of a listing, by the names it gives them; rows without one come back as faults.
///
/// # Errors
/// As [`read_manifest`].
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
pub(crate) fn photos_of(path: &Path, naming: Naming) -> Result<(Vec<NamedSource>, Vec<Fault>)> {
    let folder = folder_of(path);
    let mut found = Vec::new();
    let mut add =
        |table: &mut Table, photos: &mut Photos, row: &Row| match photos.photo(row, folder) {
            Some(photo) => found.push(photo),
            None => table.fault(row.line, photos.empty(table)),
        };
    if is_held(path) {
        let (listing, mut table) = held::open(path, 0)?;
        let mut photos = listing.photos(&table, naming)?;
        listing.rows(&mut table, &photos.read(), &mut |table, row| {
            add(table, &mut photos, &row);
        })?;
        return Ok((found, table.faults));
    }
    let bytes = crate::io::read::bytes(path, crate::io::read::LISTING)?;
    let begin = |table: &Table| photo_column(table, naming).map(Photos::Paths);
    let (table, _) = Table::walk(&bytes, path, 0, begin, |table, photos, row| {
        add(table, photos, &row);
    })?;
    Ok((found, table.faults))
}

/// What is read of a listing.
struct Samples<'a> {
    path: &'a Path,
    source: usize,
    heads: &'a [HeadSpec],
    found: Vec<Sample>,
}

impl Samples<'_> {
    /// Adds the photo of a row, unless something is wrong with it.
    fn add(&mut self, table: &mut Table, photos: &mut Photos, columns: &Columns, row: &Row) {
        let (values, person, split) = columns.parse(table, row, self.heads, &[]);
        let folder = folder_of(self.path);
        let Some((name, photo)) = photos.photo(row, folder) else {
            return table.fault(row.line, photos.empty(table));
        };
        if table.faults.last().is_none_or(|f| f.row != Some(row.line)) {
            self.found.push(Sample {
                photo,
                name,
                person,
                split,
                values,
                row: Some(row.line),
                source: self.source,
            });
        }
    }
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
