//! A file in Parquet: its columns, and what is wrong with it.

use super::chunks::Chunks;
use super::column::{Column, Content, columns};
use super::guard::guarded;
use crate::error::{Error, Result};
use crate::io::random_access;
use crate::io::recognise::what_it_is;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What such a file begins and ends with.
const MAGIC: &[u8] = b"PAR1";
/// The largest description of a file that is read: a foreign one may say anything.
const DESCRIPTION: u64 = 1 << 30;

/// The most rows: as many as the largest listing in CSV may have.
const ROWS: u64 = 1 << 29;

/// A file whose description has been read.
pub(crate) struct ParquetFile {
    pub(crate) path: PathBuf,
    pub(crate) columns: Vec<Column>,
    pub(super) reader: SerializedFileReader<Chunks>,
}

impl ParquetFile {
    /// Reads the description at a file's end.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Data`] if it is no such file, cut off, or compressed as is not read.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>> {
        let file: Arc<dyn random_access::ReadAt> = random_access::open(path)?.into();
        let fail = |message: String| Error::Data {
            path: path.into(),
            row: None,
            message,
        };
        check(&*file).map_err(|e| match e {
            Wrong::Unreadable(e) => Error::io("read", path, e),
            Wrong::Not(message) => fail(message),
        })?;
        let size = file.size();
        let reader = guarded(|| SerializedFileReader::new(Chunks::new(file)));
        let reader = reader.map_err(|e| match e {
            ParquetError::External(e) => Error::io("read", path, std::io::Error::other(e)),
            e => fail(format!("its description at the end is damaged: {e}")),
        })?;
        let about = reader.metadata().file_metadata();
        let schema = about.schema_descr();
        let columns = columns(schema.root_schema(), schema.columns());
        let file = Self {
            path: path.into(),
            columns,
            reader,
        };
        file.check_groups(size)?;
        Ok(Arc::new(file))
    }

    /// Rows of each row group.
    pub(crate) fn groups(&self) -> impl Iterator<Item = u64> {
        let groups = self.reader.metadata().row_groups();
        groups.iter().map(|g| g.num_rows().max(0) as u64)
    }

    /// The place of a column.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// What a program that wrote it noted under this word.
    pub(crate) fn note(&self, word: &str) -> Option<&str> {
        let notes = self
            .reader
            .metadata()
            .file_metadata()
            .key_value_metadata()?;
        notes.iter().find(|n| n.key == word)?.value.as_deref()
    }

    /// How many cells of a column are empty, if the file says so of all row groups.
    pub(crate) fn nulls(&self, column: usize) -> Option<u64> {
        let leaf = self.columns[column].leaf;
        let groups = self.reader.metadata().row_groups();
        groups
            .iter()
            .map(|g| g.columns().get(leaf)?.statistics()?.null_count_opt())
            .sum()
    }

    /// An error about a row group, whose rows are counted from 1 in the whole file: what stands in it is damaged, or cannot be
    /// read.
    pub(super) fn damaged(&self, group: usize, column: usize, error: impl Into<Failed>) -> Error {
        let error = match error.into() {
            Failed::Damaged(error) => error,
            Failed::Unread(error) => {
                return Error::io("read", &self.path, std::io::Error::other(error));
            }
        };
        let first = self.groups().take(group).fold(0, u64::saturating_add);
        let rows = self.groups().nth(group).unwrap_or(0);
        Error::Data {
            path: self.path.clone(),
            row: None,
            message: format!(
                "row group {} (rows {} to {}), column `{}`: it is damaged or cut off: {error}",
                group + 1,
                first + 1,
                first.saturating_add(rows),
                self.columns[column].name
            ),
        }
    }

    /// Checks what the description says of the columns in each row group, on which the reader relies.
    fn check_groups(&self, size: u64) -> Result<()> {
        let rows = self.groups().fold(0, u64::saturating_add);
        if rows > ROWS {
            return Err(Error::Data {
                path: self.path.clone(),
                row: None,
                message: format!("at most {ROWS} rows are read of such a file, found {rows}"),
            });
        }
        for (i, group) in self.reader.metadata().row_groups().iter().enumerate() {
            for (place, column) in self.columns.iter().enumerate() {
                let Some(chunk) = group.columns().get(column.leaf) else {
                    return Err(self.damaged(i, place, "it is not there"));
                };
                // A dictionary stands before the pages that use it.
                let start = chunk
                    .dictionary_page_offset()
                    .unwrap_or(chunk.data_page_offset());
                let end = start.checked_add(chunk.compressed_size());
                let is_inside = start >= 0
                    && chunk.data_page_offset() >= 0
                    && chunk.compressed_size() >= 0
                    && end.is_some_and(|end| end as u64 <= size);
                let rows = (group.num_rows(), chunk.num_values());
                // Only of lists there are more values than rows.
                let is_list = matches!(column.content, Content::List { .. } | Content::Other(_));
                let fits = rows.0 == rows.1 || is_list && rows.1 >= rows.0;
                if !is_inside || rows.0 < 0 || !fits {
                    let message = format!(
                        "{} values of {} rows in bytes {start} to {} of {size}",
                        rows.1,
                        rows.0,
                        end.unwrap_or(i64::MAX)
                    );
                    return Err(self.damaged(i, place, message.as_str()));
                }
                if !is_read(chunk.compression()) {
                    return Err(Error::Data {
                        path: self.path.clone(),
                        row: None,
                        message: format!(
                            "column `{}`: a file that is not compressed, or by Snappy, Zstandard or gzip, is needed, found {}",
                            column.name,
                            chunk.compression()
                        ),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Why something in a file cannot be had.
#[derive(Clone, Debug)]
pub(super) enum Failed {
    /// What stands there makes no sense.
    Damaged(String),
    /// It did not come; it may the next time.
    Unread(String),
}

impl From<ParquetError> for Failed {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(cause) if cause.is::<std::io::Error>() => {
                Self::Unread(cause.to_string())
            }
            error => Self::Damaged(error.to_string()),
        }
    }
}

impl From<&str> for Failed {
    fn from(found: &str) -> Self {
        Self::Damaged(found.into())
    }
}

/// Whether this compression is read.
fn is_read(compression: Compression) -> bool {
    matches!(
        compression,
        Compression::UNCOMPRESSED
            | Compression::SNAPPY
            | Compression::GZIP(_)
            | Compression::ZSTD(_)
    )
}

enum Wrong {
    Unreadable(std::io::Error),
    Not(String),
}

/// Whether it begins and ends as it has to; the reader would say less.
fn check(file: &dyn random_access::ReadAt) -> std::result::Result<(), Wrong> {
    let size = file.size();
    let mut start = vec![0; size.min(4096) as usize];
    file.read_at(0, &mut start).map_err(Wrong::Unreadable)?;
    if !start.starts_with(MAGIC) {
        let found = what_it_is(&start).unwrap_or_else(|| "something else".into());
        return Err(Wrong::Not(format!(
            "a table in Parquet is needed, found {found}"
        )));
    }
    let mut end = [0; 8];
    if size < 12 {
        return Err(Wrong::Not("the file is cut off: its end is missing".into()));
    }
    file.read_at(size - 8, &mut end)
        .map_err(Wrong::Unreadable)?;
    if &end[4..] == b"PARE" {
        return Err(Wrong::Not(
            "the file is encrypted, which is not read".into(),
        ));
    }
    if &end[4..] != MAGIC {
        return Err(Wrong::Not(
            "the file is cut off or was not written to its end: the description that stands there is missing".into(),
        ));
    }
    let length = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    if length + 12 > size || length > DESCRIPTION {
        return Err(Wrong::Not(format!(
            "its description is damaged: {length} bytes of {size} it is said to have"
        )));
    }
    Ok(())
}
