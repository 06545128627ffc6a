//! Tables in CSV and values in JSON, written whole.

use crate::error::{Error, Result};
use crate::io::write_atomically;
use serde::Serialize;
use std::path::Path;

/// Writes a value as JSON.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written, [`Error::Config`] if the value cannot.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| Error::Config {
        origin: path.display().to_string(),
        message: "cannot be written as JSON".into(),
        source: Some(e.into()),
    })?;
    bytes.push(b'\n');
    write_atomically(path, &bytes)
}

/// Writes a table as CSV.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub(crate) fn write_csv<T: AsRef<[u8]>, C: AsRef<[u8]>>(
    path: &Path,
    titles: impl IntoIterator<Item = T>,
    rows: impl IntoIterator<Item = impl IntoIterator<Item = C>>,
) -> Result<()> {
    let bytes = csv(titles, rows).map_err(|e| Error::io("write", path, e))?;
    write_atomically(path, &bytes)
}

/// Writes values as CSV, a row each, under the names of their fields.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub(crate) fn write_rows(path: &Path, rows: &[impl Serialize]) -> Result<()> {
    let bytes = || -> std::io::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        rows.iter().try_for_each(|row| writer.serialize(row))?;
        writer.into_inner().map_err(|e| e.into_error())
    };
    write_atomically(path, &bytes().map_err(|e| Error::io("write", path, e))?)
}

/// A table as the text of a CSV file.
///
/// # Errors
/// [`Error::Io`] if a row has another number of cells than there are titles.
pub(crate) fn to_csv<T: AsRef<[u8]>, C: AsRef<[u8]>>(
    titles: impl IntoIterator<Item = T>,
    rows: impl IntoIterator<Item = impl IntoIterator<Item = C>>,
) -> Result<String> {
    let fail = |e: std::io::Error| Error::io("write", "a table in CSV", e);
    let bytes = csv(titles, rows).map_err(fail)?;
    String::from_utf8(bytes).map_err(|e| fail(std::io::Error::other(e)))
}

/// One row as it stands in a table, without the end of its line.
///
/// # Errors
/// None that is known of.
pub(crate) fn csv_line(cells: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<String> {
    let mut line = to_csv(cells, None::<[&str; 0]>)?;
    line.pop();
    Ok(line)
}

fn csv<T: AsRef<[u8]>, C: AsRef<[u8]>>(
    titles: impl IntoIterator<Item = T>,
    rows: impl IntoIterator<Item = impl IntoIterator<Item = C>>,
) -> std::io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(titles)?;
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(|e| e.into_error())
}
