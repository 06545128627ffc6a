//! Tables whose columns have kinds: in CSV, where they are not seen, or in Parquet, by the name of the file.

use crate::error::{Error, Result};
use crate::io::is_parquet;
use crate::io::table::csv_line;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// What a column holds. Its cells are given as text; an empty one is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Text,
    Whole,
    /// A number in double precision.
    Number,
    /// One in single precision.
    Single,
    Flag,
}

/// Columns by their names.
pub(crate) type Columns = Vec<(String, Kind)>;

/// Writes a table whole or not at all; `rows` is given what takes one row after the other, as lines of CSV. `columns` are none
/// for lines without titles, which are of another form and stay as they are.
///
/// # Errors
/// [`Error::Io`] if it cannot be written, [`Error::Invalid`] if Parquet is asked for and cannot be had, and what `rows` gives.
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
pub(crate) fn write_typed<T>(
    path: &Path,
    columns: Option<&Columns>,
    rows: impl FnOnce(&mut dyn FnMut(String) -> Result<()>) -> Result<T>,
) -> Result<T> {
    check_form(path, columns.is_some())?;
    if let Some(columns) = columns.filter(|_| is_parquet(path)) {
        return write_parquet(path, columns, rows);
    }
    let mut given = None;
    crate::io::write_atomically_by(path, |file| {
        let mut put = |line: String| {
            let written = writeln!(file, "{line}");
            written.map_err(|e| Error::io("write", path, e))
        };
        if let Some(columns) = columns {
            put(csv_line(columns.iter().map(|(name, _)| name))?)?;
        }
        given = Some(rows(&mut put)?);
        Ok(())
    })?;
    given.ok_or_else(|| Error::io("write", path, std::io::Error::other("no rows were given")))
}

/// Refuses a file, before anything is computed for it, if it cannot be written: one in a store, and one in Parquet because what
/// goes into it has no columns, or because of how the program was built.
///
/// # Errors
/// [`Error::Io`] and [`Error::Invalid`].
pub(crate) fn check_form(path: &Path, has_columns: bool) -> Result<()> {
    crate::io::check_writable(path)?;
    let refused = |expected: &str| {
        Err(Error::Invalid {
            what: format!("the output {}", path.display()),
            expected: expected.into(),
            found: "a name that ends in .parquet".into(),
        })
    };
    if !is_parquet(path) {
        return Ok(());
    }
    if !has_columns {
        return refused("another name: this is not written in Parquet");
    }
    #[cfg(not(feature = "parquet"))]
    return refused(&format!(
        "a name that ends in .csv ({})",
        crate::io::WITHOUT_PARQUET
    ));
    #[cfg(feature = "parquet")]
    Ok(())
}

#[cfg(not(feature = "parquet"))]
fn write_parquet<T>(
    path: &Path,
    _: &Columns,
    _: impl FnOnce(&mut dyn FnMut(String) -> Result<()>) -> Result<T>,
) -> Result<T> {
    let reason = std::io::Error::other(crate::io::WITHOUT_PARQUET);
    Err(Error::io("write", path, reason))
}

#[cfg(feature = "parquet")]
fn write_parquet<T>(
    path: &Path,
    columns: &Columns,
    rows: impl FnOnce(&mut dyn FnMut(String) -> Result<()>) -> Result<T>,
) -> Result<T> {
    crate::io::parquet::write_table(path, columns, |add| {
        rows(&mut |line: String| {
            let mut reader = csv::ReaderBuilder::new()
                .has_headers(false)
                .from_reader(line.as_bytes());
            let cells = match reader.records().next() {
                Some(Ok(cells)) => cells.iter().map(String::from).collect(),
                _ => vec![line.clone()],
            };
            add(cells)
        })
    })
}
