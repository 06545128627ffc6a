//! Where a listing's photos are: at paths that its cells name, or in the listing itself.

use super::table::{Row, Table};
use super::template::PathCells;
use crate::input::{Archive, PhotoSource, StoredPhoto};
use crate::location::resolve;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// Where a listing's photos are.
pub(crate) enum Photos {
    /// In files, whose paths these cells are.
    Paths(PathCells),
    /// In the listing.
    Stored(Stored),
}

/// Photos that a listing holds itself.
pub(crate) struct Stored {
    pub(crate) archive: Arc<Box<dyn Archive>>,
    /// The columns that hold them, which are no labels.
    pub(crate) places: Vec<usize>,
    /// Where their names stand, if they have any.
    pub(crate) names: Option<usize>,
    /// Names so far, by the beginning of their SHA-256, if several photos may have one and are told apart by their rows.
    pub(crate) seen: Option<HashSet<[u8; 8]>>,
}

impl Photos {
    /// The places of the cells that are read for them.
    pub(crate) fn read(&self) -> Vec<usize> {
        match self {
            Self::Paths(cells) => cells.read().collect(),
            Self::Stored(stored) => stored.names.into_iter().collect(),
        }
    }

    /// The places of all columns that are theirs.
    pub(crate) fn own(&self) -> Vec<usize> {
        let mut own = self.read();
        if let Self::Stored(stored) = self {
            own.extend(&stored.places);
        }
        own
    }

    /// What the column of names is called.
    pub(crate) fn title<'a>(&self, table: &'a Table) -> &'a str {
        match self {
            Self::Paths(cells) => cells.title(table),
            Self::Stored(stored) => stored.places.first().map_or("path", |i| &table.header[*i]),
        }
    }

    /// What is said of a row without a photo.
    pub(crate) fn empty(&self, table: &Table) -> String {
        if let Self::Stored(_) = self {
            return "a photo is needed among the members of each key, found none".into();
        }
        let title = self.title(table);
        format!("column `{title}`: a photo is needed, found an empty cell")
    }

    /// A row's photo and its name; `None` if it has none.
    pub(crate) fn photo(&mut self, row: &Row, folder: &Path) -> Option<(String, PhotoSource)> {
        match self {
            Self::Paths(cells) => {
                let name = cells.path(row)?;
                let photo = resolve(folder, &name).into();
                Some((name, photo))
            }
            Self::Stored(stored) => {
                if !stored.archive.has(row.line) {
                    return None;
                }
                let name = stored.name(row);
                let photo = StoredPhoto::new(&stored.archive, row.line);
                Some((name, PhotoSource::Stored(photo)))
            }
        }
    }
}

impl Stored {
    fn name(&mut self, row: &Row) -> String {
        let numbered = |name: &str| format!("{name}#{}", row.line);
        let cell = self.names.map_or("", |i| row.cells[i].trim());
        if cell.is_empty() {
            return numbered("");
        }
        let hash: [u8; 32] = Sha256::digest(cell).into();
        let (start, _) = hash.as_chunks::<8>();
        let is_new = self.seen.as_mut().is_none_or(|seen| seen.insert(start[0]));
        if is_new { cell.into() } else { numbered(cell) }
    }
}
