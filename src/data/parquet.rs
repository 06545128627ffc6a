//! Listings in Parquet: the columns and rules of a listing in CSV, and photos as paths or as bytes.

use super::columns::Naming;
use super::held::Held;
use super::manifest::photo_column;
use super::photo_cells::{Photos, Stored};
use super::table::{Row, Table, quoted};
use super::template::PathCells;
use crate::error::{Error, Result};
use crate::head::MultiLabelSpec;
use crate::input::Archive;
use crate::io::parquet::{Cell, Content, Pages, ParquetFile};
use serde_json::Value;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// What the column of photos' bytes is called, if nothing else is named.
const USUAL: &str = "image";

/// A listing whose columns are known.
pub(crate) struct ParquetListing {
    file: Arc<ParquetFile>,
    /// Of columns of places in a list of names, as Hugging Face's `datasets` writes labels, the names.
    names: Vec<Option<Vec<String>>>,
}

impl ParquetListing {
    /// Opens a file; the table has its header. A field of a group is a column `group.field`. Rows are counted from 1.
    ///
    /// # Errors
    /// As [`ParquetFile::open`]; [`Error::Data`] if two columns have one name.
    pub(crate) fn open(path: &Path, source: usize) -> Result<(Self, Table)> {
        let file = ParquetFile::open(path)?;
        let header = file.columns.iter().map(|c| c.name.clone()).collect();
        let table = Table::of_header(path, source, header)?;
        let note = file.note("huggingface").map(serde_json::from_str::<Value>);
        let note = note.and_then(std::result::Result::ok).unwrap_or_default();
        let names = table.header.iter().map(|column| label_names(&note, column));
        Ok((
            Self {
                names: names.collect(),
                file,
            },
            table,
        ))
    }

    /// The photos in a column of bytes, or of groups that have such, if there is one of this name.
    fn stored(&self, table: &Table, name: &str) -> Option<Photos> {
        let inner = |field: &str| self.file.column(&format!("{name}.{field}"));
        let content = |place: usize| self.file.columns[place].content;
        let is_bytes = |place: &usize| content(*place) == Content::Bytes;
        let is_cell = |place: &usize| content(*place) == Content::Cell;
        let place = self.file.column(name).filter(is_bytes);
        let place = place.or_else(|| inner("bytes").filter(is_bytes))?;
        let own_path = inner("path").filter(is_cell);
        // Such groups may have only one of the two.
        let rows: u64 = self.file.groups().sum();
        if let Some(path) = own_path
            && rows > 0
            && self.file.nulls(place) == Some(rows)
        {
            return Some(Photos::Paths(PathCells::column(path)));
        }
        let beside = self.file.column("path").filter(is_cell);
        let photos = StoredPhotos {
            title: table.header[place].clone(),
            pages: Pages::new(Arc::clone(&self.file), place),
            file: Arc::clone(&self.file),
        };
        Some(Photos::Stored(Stored {
            archive: Arc::new(Box::new(photos)),
            places: [place].into_iter().chain(own_path).collect(),
            names: beside.or(own_path),
            // Of a path in such a group often only its end is left.
            seen: beside.is_none().then(HashSet::new),
        }))
    }

    /// A cell as it would stand in CSV; `None` if it would not.
    fn text(&self, place: usize, cell: Cell) -> Option<String> {
        let named = |text: String| match &self.names[place] {
            Some(names) => match text.parse::<i64>() {
                // So is written what is not known.
                Ok(-1) => String::new(),
                Ok(i) => usize::try_from(i)
                    .ok()
                    .and_then(|i| names.get(i).cloned())
                    .unwrap_or(text),
                Err(_) => text,
            },
            None => text,
        };
        match cell {
            Cell::Empty => Some(String::new()),
            Cell::Text(text) => Some(named(text)),
            Cell::List(words) if words.is_empty() => Some(MultiLabelSpec::NONE.into()),
            Cell::List(words) => {
                let words: Vec<String> = words.into_iter().map(named).collect();
                Some(words.join(";"))
            }
            Cell::NotText => None,
        }
    }
}

impl Held for ParquetListing {
    /// In the column that is named for `path`, which has bytes, paths or both; else in `image`, if that has bytes, or at the paths
    /// in `path`.
    fn photos(&self, table: &Table, naming: Naming) -> Result<Photos> {
        let usual = || self.stored(table, USUAL);
        match naming.of("path") {
            Some(name) => match (self.stored(table, name), photo_column(table, naming)) {
                (Some(stored), _) => Ok(stored),
                (None, Err(e)) if naming.takes_usual() => usual().ok_or(e),
                (None, found) => found.map(Photos::Paths),
            },
            None => match usual() {
                Some(stored) => Ok(stored),
                None if self.file.column("path").is_some() => {
                    photo_column(table, naming).map(Photos::Paths)
                }
                None => Err(table.header_error(format!(
                    "a column `{USUAL}` of photos' bytes or `path` of their paths is needed, or one that --columns path=NAME names, found {}",
                    quoted(&table.header)
                ))),
            },
        }
    }

    fn any_photos(&self, table: &Table) -> Option<(String, Photos)> {
        let bytes = self.file.columns.iter();
        let bytes = bytes.filter(|c| c.content == Content::Bytes);
        let names = bytes.map(|c| c.name.strip_suffix(".bytes").unwrap_or(&c.name));
        let mut names: Vec<&str> = names.collect();
        names.sort_by_key(|name| *name != USUAL);
        names.into_iter().find_map(|name| {
            let photos = self.stored(table, name)?;
            Some((name.to_string(), photos))
        })
    }

    fn usual(&self) -> &'static str {
        USUAL
    }

    fn cells(&self) -> Vec<usize> {
        let columns = self.file.columns.iter().enumerate();
        let cells =
            columns.filter(|(_, c)| matches!(c.content, Content::Cell | Content::List { .. }));
        cells.map(|(place, _)| place).collect()
    }

    fn rows(
        &self,
        table: &mut Table,
        needed: &[usize],
        take: &mut dyn FnMut(&mut Table, Row),
    ) -> Result<()> {
        let mut places = needed.to_vec();
        places.sort_unstable();
        places.dedup();
        for place in &places {
            let column = &self.file.columns[*place];
            if let Content::Other(found) = column.content {
                return Err(table.header_error(format!(
                    "column `{}`: texts, numbers, truth values or lists of them are needed, found {found}",
                    column.name
                )));
            }
        }
        self.file.rows(&places, |line, found| {
            let mut cells = vec![String::new(); table.header.len()];
            for (place, cell) in places.iter().zip(found) {
                match self.text(*place, cell) {
                    Some(text) => cells[*place] = text,
                    None => {
                        let name = &table.header[*place];
                        let message = format!(
                            "column `{name}`: a text, a number or a truth value is needed, found bytes that are no text"
                        );
                        table.fault(line, message);
                    }
                }
            }
            take(table, Row { line, cells });
            Ok(())
        })
    }
}

/// The names of a column of Hugging Face's type `ClassLabel`, or of lists of such.
fn label_names(note: &Value, column: &str) -> Option<Vec<String>> {
    let mut feature = &note["info"]["features"];
    for part in column.split('.') {
        feature = &feature[part];
    }
    let inner = [&feature["feature"], &feature[0]];
    let feature = [feature].into_iter().chain(inner);
    let names = feature.filter_map(|f| f["names"].as_array()).next()?;
    let names = names.iter().map(|n| n.as_str().map(String::from));
    names.collect()
}

/// The photos in a column of bytes, by the rows they stand in.
struct StoredPhotos {
    file: Arc<ParquetFile>,
    title: String,
    pages: Pages,
}

impl Archive for StoredPhotos {
    fn path(&self) -> &Path {
        &self.file.path
    }

    fn name(&self, row: u64) -> String {
        format!("#{row}")
    }

    fn read(&self, row: u64) -> Result<Vec<u8>> {
        self.pages.read(row)?.ok_or_else(|| Error::Data {
            path: self.file.path.clone(),
            row: Some(row),
            message: format!(
                "column `{}`: a photo's bytes are needed, found nothing",
                self.title
            ),
        })
    }
}
