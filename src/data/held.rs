//! Listings that are no text and may hold their photos: tables in Parquet, and shards in tar.

use super::columns::Naming;
use super::parquet::ParquetListing;
use super::photo_cells::Photos;
use super::table::{Row, Table};
use super::tar::TarListing;
use crate::error::Result;
use crate::io::{is_parquet, is_tar};
use std::path::Path;

/// Such a listing, whose columns are known.
pub(crate) trait Held {
    /// Where the photos are.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) if they are nowhere.
    fn photos(&self, table: &Table, naming: Naming) -> Result<Photos>;

    /// Photos that the file itself holds, and what their column is called.
    fn any_photos(&self, table: &Table) -> Option<(String, Photos)>;

    /// What that column is called, if nothing is named.
    fn usual(&self) -> &'static str;

    /// The columns that have cells.
    fn cells(&self) -> Vec<usize>;

    /// Gives the rows one after the other to `take`, with empty cells in the columns that are not needed.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) if what is needed cannot be read.
    fn rows(
        &self,
        table: &mut Table,
        needed: &[usize],
        take: &mut dyn FnMut(&mut Table, Row),
    ) -> Result<()>;
}

/// Whether a path is called as such a listing.
pub(crate) fn is_held(path: &Path) -> bool {
    is_parquet(path) || is_tar(path)
}

/// Opens one; the table has its header.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if it cannot be read, [`Error::Data`](crate::Error::Data) if it is not what it is called.
pub(crate) fn open(path: &Path, source: usize) -> Result<(Box<dyn Held>, Table)> {
    if is_tar(path) {
        let (listing, table) = TarListing::open(path, source)?;
        return Ok((Box::new(listing), table));
    }
    let (listing, table) = ParquetListing::open(path, source)?;
    Ok((Box::new(listing), table))
}
