//! The figures of a run by epoch, as `metrics.csv` has them.

use crate::error::{Error, Result};
use std::path::Path;

/// Figures by epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Epochs {
    titles: Vec<String>,
    rows: Vec<Vec<Option<f64>>>,
}

impl Epochs {
    /// Reads a table; nothing where there is none, because no epoch has ended.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Data`] naming the line if a cell is no number.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let bytes = crate::io::read::bytes(path, crate::io::read::RECORD)?;
        let fail = |row: Option<u64>, message: String| Error::Data {
            path: path.into(),
            row,
            message,
        };
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let titles = reader.headers().map_err(|e| fail(None, e.to_string()))?;
        let titles: Vec<String> = titles.iter().map(String::from).collect();
        let mut rows = Vec::new();
        for (number, record) in reader.records().enumerate() {
            let line = Some(number as u64 + 2);
            let record = record.map_err(|e| fail(line, e.to_string()))?;
            let cell = |cell: &str| match cell {
                "" => Ok(None),
                cell => cell.parse().map(Some).map_err(|_| {
                    fail(
                        line,
                        format!("a number or nothing is needed in each cell, found `{cell}`"),
                    )
                }),
            };
            rows.push(record.iter().map(cell).collect::<Result<_>>()?);
        }
        Ok(Self { titles, rows })
    }

    /// Epochs that have ended.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// A column over the epochs, a value that is not there as NaN; `None` where no epoch has one.
    pub(super) fn column(&self, title: &str) -> Option<Vec<(f64, f64)>> {
        let place = self.titles.iter().position(|t| t == title)?;
        let epochs = self.titles.iter().position(|t| t == "epoch")?;
        let points = self.rows.iter().map(|row| {
            let cell = |i: usize| row.get(i).copied().flatten().unwrap_or(f64::NAN);
            (cell(epochs), cell(place))
        });
        let points: Vec<(f64, f64)> = points.collect();
        points.iter().any(|p| p.1.is_finite()).then_some(points)
    }

    /// The best value of a column, and its epoch: of equal ones the first.
    pub(super) fn best(&self, title: &str) -> Option<(f64, f64)> {
        let points = self.column(title)?.into_iter().filter(|p| p.1.is_finite());
        points.fold(None, |best: Option<(f64, f64)>, p| match best {
            Some(b) if b.1 >= p.1 => Some(b),
            _ => Some(p),
        })
    }
}
