//! Tables in Parquet, written row group by row group.

use crate::error::{Error, Result};
use crate::io::typed::Kind;
use crate::io::write_atomically_with;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int64Type,
};
use parquet::errors::{ParquetError, Result as Written};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Rows of a group, which are held until it is written.
const GROUP: usize = 1 << 14;
/// Cells of a group at most.
const CELLS: usize = 1 << 20;

/// Writes a table whole or not at all; `rows` is given what takes one row after the other.
///
/// # Errors
/// [`Error::Io`] if it cannot be written, [`Error::Invalid`] if a cell is not of its column's kind, and what `rows` gives.
pub(crate) fn write_table<T>(
    path: &Path,
    columns: &[(String, Kind)],
    rows: impl FnOnce(&mut dyn FnMut(Vec<String>) -> Result<()>) -> Result<T>,
) -> Result<T> {
    let mut given = None;
    let mut failed = None;
    let written = write_atomically_with(path, |file| {
        let written = Table::new(file, columns).and_then(|mut table| {
            let done = rows(&mut |row| table.add(path, row));
            given = match done {
                Ok(done) => Some(done),
                Err(e) => {
                    failed = Some(e);
                    return Err(ParquetError::General("it is not whole".into()));
                }
            };
            table.finish()
        });
        written.map_err(std::io::Error::other)
    });
    match (failed, given) {
        (Some(e), _) => Err(e),
        (None, Some(given)) => written.map(|_| given),
        (None, None) => Err(match written {
            Err(e) => e,
            Ok(_) => Error::io("write", path, std::io::Error::other("no rows were given")),
        }),
    }
}

/// A table that is being written.
struct Table<'a, W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: &'a [(String, Kind)],
    rows: Vec<Vec<String>>,
}

impl<'a, W: Write + Send> Table<'a, W> {
    fn new(file: W, columns: &'a [(String, Kind)]) -> Written<Self> {
        let field = |(name, kind): &(String, Kind)| {
            let physical = match kind {
                Kind::Text => Physical::BYTE_ARRAY,
                Kind::Whole => Physical::INT64,
                Kind::Number => Physical::DOUBLE,
                Kind::Single => Physical::FLOAT,
                Kind::Flag => Physical::BOOLEAN,
            };
            let text = (*kind == Kind::Text).then_some(LogicalType::String);
            let builder = Type::primitive_type_builder(name, physical);
            let builder = builder.with_repetition(Repetition::OPTIONAL);
            builder.with_logical_type(text).build().map(Arc::new)
        };
        let fields = columns.iter().map(field).collect::<Written<_>>()?;
        let schema = Type::group_type_builder("schema").with_fields(fields);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
        let writer = SerializedFileWriter::new(
            file,
            Arc::new(schema.build()?),
            Arc::new(properties.build()),
        )?;
        Ok(Self {
            writer,
            columns,
            rows: Vec::new(),
        })
    }

    fn add(&mut self, path: &Path, row: Vec<String>) -> Result<()> {
        for ((name, kind), cell) in self.columns.iter().zip(&row) {
            let fits = cell.is_empty()
                || match kind {
                    Kind::Text => true,
                    Kind::Whole => cell.parse::<i64>().is_ok(),
                    Kind::Number => cell.parse::<f64>().is_ok(),
                    Kind::Single => cell.parse::<f32>().is_ok(),
                    Kind::Flag => cell.parse::<bool>().is_ok(),
                };
            if !fits {
                return Err(Error::Invalid {
                    what: format!("column `{name}` of {}", path.display()),
                    expected: format!("cells of one kind ({kind:?})"),
                    found: cell.clone(),
                });
            }
        }
        if row.len() != self.columns.len() {
            return Err(Error::Invalid {
                what: format!("a row of {}", path.display()),
                expected: format!("{} cells", self.columns.len()),
                found: row.len().to_string(),
            });
        }
        self.rows.push(row);
        if self.rows.len() >= GROUP.min((CELLS / self.columns.len().max(1)).max(1)) {
            let written = self.write_group();
            written.map_err(|e| Error::io("write", path, std::io::Error::other(e)))?;
        }
        Ok(())
    }

    fn finish(mut self) -> Written<()> {
        if !self.rows.is_empty() {
            self.write_group()?;
        }
        self.writer.close().map(drop)
    }

    fn write_group(&mut self) -> Written<()> {
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.writer.next_row_group()?;
        for (place, (_, kind)) in self.columns.iter().enumerate() {
            let cells: Vec<&str> = rows.iter().map(|row| row[place].as_str()).collect();
            match kind {
                Kind::Text => {
                    column::<ByteArrayType, _>(&mut group, &cells, |c| Some(ByteArray::from(c)))
                }
                Kind::Whole => column::<Int64Type, _>(&mut group, &cells, |c| c.parse().ok()),
                Kind::Number => column::<DoubleType, _>(&mut group, &cells, |c| c.parse().ok()),
                Kind::Single => column::<FloatType, _>(&mut group, &cells, |c| c.parse().ok()),
                Kind::Flag => column::<BoolType, _>(&mut group, &cells, |c| c.parse().ok()),
            }?;
        }
        group.close().map(drop)
    }
}

fn column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    cells: &[&str],
    value: impl Fn(&str) -> Option<T::T>,
) -> Written<()> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("a column is missing".into()));
    };
    let there = |cell: &&&str| !cell.is_empty();
    let levels: Vec<i16> = cells.iter().map(|c| i16::from(!c.is_empty())).collect();
    let values: Vec<T::T> = cells
        .iter()
        .filter(there)
        .filter_map(|c| value(c))
        .collect();
    column
        .typed::<T>()
        .write_batch(&values, Some(&levels), None)?;
    column.close()
}
