//! Bytes out of one column, a row at a time and in any order: of what was read last some pages are kept, so that neighbours cost
//! no second look.

use super::file::{Failed, ParquetFile};
use super::guard::guarded;
use crate::error::{Error, Result};
use parquet::column::page::PageReader;
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::reader::FileReader;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Bytes of pages that are kept at most, beside those that are in use.
const KEPT: usize = 64 << 20;
/// Pages that are kept at most.
const MOST: usize = 32;

/// The bytes of a page's rows, or why there are none.
type Page = std::result::Result<Vec<Option<ByteArray>>, Failed>;

/// A page by its row group and the row it begins with there.
type Key = (usize, u64);

/// A column of bytes.
pub(crate) struct Pages {
    file: Arc<ParquetFile>,
    column: usize,
    /// The first row of each row group, and the number of all.
    starts: Vec<u64>,
    /// The first row of each page of a row group, once it was asked for.
    pages: Vec<OnceLock<std::result::Result<Vec<u64>, Failed>>>,
    kept: Mutex<VecDeque<(Key, Arc<OnceLock<Page>>)>>,
}

impl Pages {
    /// Those of a column whose content is bytes.
    pub(crate) fn new(file: Arc<ParquetFile>, column: usize) -> Self {
        let mut starts = vec![0];
        starts.extend(file.groups().scan(0, |sum, rows| {
            *sum = u64::saturating_add(*sum, rows);
            Some(*sum)
        }));
        Self {
            pages: (1..starts.len()).map(|_| OnceLock::new()).collect(),
            file,
            column,
            starts,
            kept: Mutex::default(),
        }
    }

    /// The bytes of a row, counted from 1; `None` where its cell is empty.
    ///
    /// # Errors
    /// [`Error::Data`] naming row group and column if the file is damaged or has no such row.
    pub(crate) fn read(&self, row: u64) -> Result<Option<Vec<u8>>> {
        let place = row.wrapping_sub(1);
        let group = self.starts.partition_point(|start| *start <= place) - 1;
        let Some(starts) = self.pages.get(group) else {
            return Err(Error::Data {
                path: self.file.path.clone(),
                row: Some(row),
                message: "there is no such row".into(),
            });
        };
        let fail = |e: &Failed| self.file.damaged(group, self.column, e.clone());
        let starts = match starts.get() {
            Some(known) => known,
            None => {
                let found = guarded(|| self.page_starts(group)).map_err(Failed::from);
                // What did not come is asked for again the next time.
                if let Err(unread @ Failed::Unread(_)) = &found {
                    return Err(fail(unread));
                }
                starts.get_or_init(|| found)
            }
        };
        let starts = starts.as_ref().map_err(fail)?;
        let in_group = place - self.starts[group];
        let page = starts.partition_point(|start| *start <= in_group) - 1;
        let end = starts.get(page + 1).copied();
        let end = end.unwrap_or(self.starts[group + 1] - self.starts[group]);
        let first = starts[page];
        let place = self.place((group, first));
        let held = place.get_or_init(|| {
            guarded(|| self.decode(group, first, end - first)).map_err(Failed::from)
        });
        if let Err(Failed::Unread(_)) = held {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|(key, _)| *key != (group, first));
        }
        let cells = held.as_ref().map_err(fail)?;
        let cell = cells.get((in_group - first) as usize).cloned().flatten();
        self.forget();
        Ok(cell.map(|bytes| bytes.data().to_vec()))
    }

    /// Where a page is or will be.
    fn place(&self, key: Key) -> Arc<OnceLock<Page>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, held)) = kept.iter().find(|(k, _)| *k == key) {
            return Arc::clone(held);
        }
        let held = Arc::new(OnceLock::new());
        kept.push_back((key, Arc::clone(&held)));
        held
    }

    /// Lets go of what was read first, but for the last.
    fn forget(&self) {
        let bytes = |page: &Arc<OnceLock<Page>>| match page.get() {
            Some(Ok(cells)) => cells.iter().flatten().map(ByteArray::len).sum(),
            _ => 0,
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held: usize = kept.iter().map(|(_, page)| bytes(page)).sum();
        while kept.len() > 1 && (held > KEPT || kept.len() > MOST) {
            held -= kept.pop_front().map_or(0, |(_, page)| bytes(&page));
        }
    }

    fn reader(&self, group: usize) -> parquet::errors::Result<(Box<dyn PageReader>, ColumnOf)> {
        let leaf = self.file.columns[self.column].leaf;
        let group = self.file.reader.get_row_group(group)?;
        let descr = group.metadata().column(leaf).column_descr_ptr();
        Ok((group.get_column_page_reader(leaf)?, descr))
    }

    /// The first row of each page of a row group: their headers are looked at, and what is in them is not read.
    fn page_starts(&self, group: usize) -> parquet::errors::Result<Vec<u64>> {
        let (mut reader, _) = self.reader(group)?;
        let rows = self.starts[group + 1] - self.starts[group];
        let (mut starts, mut row) = (Vec::new(), 0);
        while let Some(page) = reader.peek_next_page()? {
            if !page.is_dict {
                let found = page.num_rows.or(page.num_levels);
                starts.push(row);
                let found = found.and_then(|found| u64::try_from(found).ok());
                let end = found
                    .and_then(|found| found.checked_add(row))
                    .filter(|end| *end <= rows);
                row = end.ok_or_else(|| {
                    ParquetError::General(format!("a page has more rows than {rows}"))
                })?;
            }
            reader.skip_next_page()?;
        }
        match row == rows && !starts.is_empty() {
            true => Ok(starts),
            false => Err(ParquetError::General(format!(
                "{rows} rows are needed, found {row}"
            ))),
        }
    }

    fn decode(
        &self,
        group: usize,
        first: u64,
        rows: u64,
    ) -> parquet::errors::Result<Vec<Option<ByteArray>>> {
        let (pages, descr) = self.reader(group)?;
        let ColumnReader::ByteArrayColumnReader(mut reader) =
            get_column_reader(descr.clone(), pages)
        else {
            return Err(ParquetError::General("it has no bytes".into()));
        };
        let (first, rows) = (first as usize, rows as usize);
        if reader.skip_records(first)? != first {
            return Err(ParquetError::General("rows are missing".into()));
        }
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let most = descr.max_def_level();
        let mut records = 0;
        while records < rows {
            let levels = (most > 0).then_some(&mut levels);
            let (found, ..) = reader.read_records(rows - records, levels, None, &mut values)?;
            if found == 0 {
                return Err(ParquetError::General("rows are missing".into()));
            }
            records += found;
        }
        let mut values = values.into_iter();
        if most == 0 {
            return Ok(values.map(Some).collect());
        }
        let cells = levels.into_iter();
        Ok(cells
            .map(|l| (l == most).then(|| values.next()).flatten())
            .collect())
    }
}

type ColumnOf = parquet::schema::types::ColumnDescPtr;
