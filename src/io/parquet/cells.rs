//! The cells of some columns, row by row: a stretch of rows is held at once.

use super::file::ParquetFile;
use super::guard::guarded;
use crate::error::Result;
use parquet::basic::ConvertedType;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::FileReader;

/// Rows whose cells are held at once.
const AT_ONCE: usize = 1024;

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Nothing, or a number that is none.
    Empty,
    /// A text, or a number or truth value as text.
    Text(String),
    /// A list's entries, without those that are empty.
    List(Vec<String>),
    /// Bytes that are no text.
    NotText,
}

impl ParquetFile {
    /// Gives the cells of these columns to `take`, row by row, with the number of the row, from 1 on.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) naming row group and column if the file is damaged.
    pub(crate) fn rows(
        &self,
        places: &[usize],
        mut take: impl FnMut(u64, Vec<Cell>) -> Result<()>,
    ) -> Result<()> {
        let mut row = 0;
        for (group, rows) in self.groups().enumerate() {
            let mut columns = Vec::with_capacity(places.len());
            for place in places {
                let column = guarded(|| self.open_column(group, *place));
                columns.push(column.map_err(|e| self.damaged(group, *place, e))?);
            }
            let mut left = rows;
            while left > 0 {
                let some = left.min(AT_ONCE as u64) as usize;
                let mut cells = Vec::with_capacity(places.len());
                for (column, place) in columns.iter_mut().zip(places) {
                    let found = guarded(|| column.read(some));
                    cells.push(
                        found
                            .map_err(|e| self.damaged(group, *place, e))?
                            .into_iter(),
                    );
                }
                for _ in 0..some {
                    row += 1;
                    take(row, cells.iter_mut().filter_map(Iterator::next).collect())?;
                }
                left -= some as u64;
            }
        }
        Ok(())
    }

    fn open_column(&self, group: usize, place: usize) -> parquet::errors::Result<Stretches> {
        let column = &self.columns[place];
        let group = self.reader.get_row_group(group)?;
        let descr = group.metadata().column(column.leaf).column_descr_ptr();
        let empty = match column.content {
            super::Content::List { empty } => Some(empty),
            _ => None,
        };
        Ok(Stretches {
            reader: group.get_column_reader(column.leaf)?,
            most: descr.max_def_level(),
            unsigned: matches!(
                descr.converted_type(),
                ConvertedType::UINT_8
                    | ConvertedType::UINT_16
                    | ConvertedType::UINT_32
                    | ConvertedType::UINT_64
            ),
            scale: match descr.converted_type() {
                ConvertedType::DECIMAL => descr.type_scale(),
                _ => 0,
            },
            empty,
        })
    }
}

/// A column of a row group, read stretch by stretch.
struct Stretches {
    reader: ColumnReader,
    /// The level of definition of a value that is there.
    most: i16,
    unsigned: bool,
    scale: i32,
    /// The level of an empty list.
    empty: Option<i16>,
}

impl Stretches {
    fn read(&mut self, rows: usize) -> parquet::errors::Result<Vec<Cell>> {
        let levels = (self.most, self.empty);
        let (unsigned, scale) = (self.unsigned, self.scale);
        let text = |text: String| Cell::Text(text);
        match &mut self.reader {
            ColumnReader::BoolColumnReader(r) => read(r, rows, levels, |v| text(v.to_string())),
            ColumnReader::Int32ColumnReader(r) => read(r, rows, levels, |v| {
                text(match unsigned {
                    true => v.cast_unsigned().to_string(),
                    false => whole(i64::from(v), scale),
                })
            }),
            ColumnReader::Int64ColumnReader(r) => read(r, rows, levels, |v| {
                text(match unsigned {
                    true => v.cast_unsigned().to_string(),
                    false => whole(v, scale),
                })
            }),
            ColumnReader::FloatColumnReader(r) => read(r, rows, levels, |v| {
                if v.is_nan() {
                    Cell::Empty
                } else {
                    text(v.to_string())
                }
            }),
            ColumnReader::DoubleColumnReader(r) => read(r, rows, levels, |v| {
                if v.is_nan() {
                    Cell::Empty
                } else {
                    text(v.to_string())
                }
            }),
            ColumnReader::ByteArrayColumnReader(r) => read(r, rows, levels, |v: ByteArray| {
                String::from_utf8(v.data().to_vec()).map_or(Cell::NotText, Cell::Text)
            }),
            _ => Err(ParquetError::NYI("values of this kind".into())),
        }
    }
}

/// A whole number, or a decimal of so many digits behind its point.
fn whole(value: i64, scale: i32) -> String {
    match scale {
        0 => value.to_string(),
        scale => (value as f64 / 10f64.powi(scale)).to_string(),
    }
}

fn read<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    (most, empty): (i16, Option<i16>),
    cell: impl Fn(T::T) -> Cell,
) -> parquet::errors::Result<Vec<Cell>> {
    let (mut definition, mut repetition, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let mut records = 0;
    while records < rows {
        let definition = (most > 0).then_some(&mut definition);
        let repetition = empty.is_some().then_some(&mut repetition);
        let (found, ..) =
            reader.read_records(rows - records, definition, repetition, &mut values)?;
        if found == 0 {
            let message = format!("{} rows are missing", rows - records);
            return Err(ParquetError::General(message));
        }
        records += found;
    }
    if most == 0 {
        return Ok(values.into_iter().map(cell).collect());
    }
    let mut values = values.into_iter().map(cell);
    let mut cells: Vec<Cell> = Vec::with_capacity(rows);
    for (i, level) in definition.into_iter().enumerate() {
        let value = (level == most).then(|| values.next()).flatten();
        let Some(empty) = empty else {
            cells.push(value.unwrap_or(Cell::Empty));
            continue;
        };
        if repetition.get(i) == Some(&0) {
            cells.push(match level < empty {
                true => Cell::Empty,
                false => Cell::List(Vec::new()),
            });
        }
        match (cells.last_mut(), value) {
            (Some(Cell::List(list)), Some(Cell::Text(text))) => list.push(text),
            (Some(list), Some(Cell::NotText)) => *list = Cell::NotText,
            _ => {}
        }
    }
    match cells.len() == rows {
        true => Ok(cells),
        false => Err(ParquetError::General(format!(
            "{rows} rows are needed, found {}",
            cells.len()
        ))),
    }
}
