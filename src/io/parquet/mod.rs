//! Tables in Parquet: columns of texts, numbers, truth values, lists of these and bytes, read row group by row group and written
//! so. Nothing is known here of what the columns mean.

mod cells;
mod chunks;
mod column;
mod file;
mod guard;
mod pages;
mod write;

pub(crate) use cells::Cell;
pub(crate) use column::Content;
pub(crate) use file::ParquetFile;
pub(crate) use pages::Pages;
pub(crate) use write::write_table;
