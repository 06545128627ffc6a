//! In place of listings in Parquet, which this program was built without.

use super::columns::Naming;
use super::held::Held;
use super::photo_cells::Photos;
use super::table::{Row, Table};
use crate::error::{Error, Result};
use std::path::Path;

/// There is none.
pub(crate) enum ParquetListing {}

impl ParquetListing {
    /// Says what is missing.
    ///
    /// # Errors
    /// [`Error::Data`] always.
    pub(crate) fn open(path: &Path, _: usize) -> Result<(Self, Table)> {
        if !crate::location::is_remote(path) {
            crate::io::read::open(path)?;
        }
        Err(Error::Data {
            path: path.into(),
            row: None,
            message: crate::io::WITHOUT_PARQUET.into(),
        })
    }
}

impl Held for ParquetListing {
    fn photos(&self, _: &Table, _: Naming) -> Result<Photos> {
        match *self {}
    }

    fn any_photos(&self, _: &Table) -> Option<(String, Photos)> {
        match *self {}
    }

    fn usual(&self) -> &'static str {
        match *self {}
    }

    fn cells(&self) -> Vec<usize> {
        match *self {}
    }

    fn rows(&self, _: &mut Table, _: &[usize], _: &mut dyn FnMut(&mut Table, Row)) -> Result<()> {
        match *self {}
    }
}
