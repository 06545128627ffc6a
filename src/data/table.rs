//! A CSV file in memory, with the lines its rows stand on.

use super::sample::Fault;
use crate::error::{Error, Result};
use crate::io::recognise::what_it_is;
use crate::nearest::edits;
use std::path::{Path, PathBuf};

/// A line of a table that has as many cells as the header.
pub(crate) struct Row {
    pub(crate) line: u64,
    pub(crate) cells: Vec<String>,
}

/// A CSV file in memory.
pub(crate) struct Table {
    pub(crate) path: PathBuf,
    pub(crate) source: usize,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) faults: Vec<Fault>,
}

impl Table {
    /// Reads a file; rows with too few or too many cells become faults.
    pub(crate) fn read(path: &Path, source: usize) -> Result<Self> {
        let bytes = crate::io::read::bytes(path, crate::io::read::LISTING)?;
        Self::parse(&bytes, path, source)
    }

    /// As [`read`](Self::read), of a file's content.
    pub(crate) fn parse(bytes: &[u8], path: &Path, source: usize) -> Result<Self> {
        let begin = |_: &Self| Ok(Vec::new());
        let (mut table, rows) =
            Self::walk(bytes, path, source, begin, |_, rows: &mut Vec<Row>, row| {
                rows.push(row)
            })?;
        table.rows = rows;
        Ok(table)
    }

    /// Gives the rows of a file's content one after the other to `take` and keeps none: `begin` looks at the header, and what it
    /// gives goes with them.
    ///
    /// # Errors
    /// [`Error::Data`] if it is no table in UTF-8 or a column is there twice, and what `begin` gives.
    pub(crate) fn walk<T>(
        bytes: &[u8],
        path: &Path,
        source: usize,
        begin: impl FnOnce(&Self) -> Result<T>,
        mut take: impl FnMut(&mut Self, &mut T, Row),
    ) -> Result<(Self, T)> {
        let whole = |row: Option<u64>, message: String| Error::Data {
            path: path.into(),
            row,
            message,
        };
        if let Some(what) = what_it_is(bytes).filter(|_| !bytes.is_empty()) {
            let message = format!("a table in CSV is needed, found {what}");
            return Err(whole(None, message));
        }
        let text = std::str::from_utf8(bytes).map_err(|e| {
            let line = 1 + count_lines(&bytes[..e.valid_up_to()]);
            whole(
                Some(line),
                "text in UTF-8 is needed, found other bytes".into(),
            )
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator(text.as_bytes()))
            .from_reader(text.as_bytes());
        let mut table = Self {
            path: path.into(),
            source,
            header: Vec::new(),
            rows: Vec::new(),
            faults: Vec::new(),
        };
        let mut begin = Some(begin);
        let mut with = None;
        // The reader's own line numbers point at blank lines before a record, so lines are counted here.
        let (mut line, mut counted) = (1, 0);
        for record in reader.records() {
            let record = record.map_err(|e| whole(None, e.to_string()))?;
            let mut start = record.position().map_or(0, |p| p.byte() as usize);
            while matches!(text.as_bytes().get(start), Some(b'\n' | b'\r')) {
                start += 1;
            }
            line += count_lines(&text.as_bytes()[counted..start]);
            counted = start;
            let cells: Vec<String> = record.iter().map(str::to_string).collect();
            if let Some(begin) = begin.take() {
                table.header = cells.iter().map(|c| c.trim().to_string()).collect();
                table.check_header()?;
                with = Some(begin(&table)?);
                continue;
            }
            match &mut with {
                Some(with) if cells.len() == table.header.len() => {
                    take(&mut table, with, Row { line, cells });
                }
                _ => {
                    let message = format!(
                        "{} cells are needed, as many as columns, found {}",
                        table.header.len(),
                        cells.len()
                    );
                    table.fault(line, message);
                }
            }
        }
        let with =
            with.ok_or_else(|| whole(None, "a header line is needed, the file is empty".into()))?;
        Ok((table, with))
    }

    /// A table without rows.
    ///
    /// # Errors
    /// [`Error::Data`] if a column is there twice.
    pub(crate) fn of_header(path: &Path, source: usize, header: Vec<String>) -> Result<Self> {
        let table = Self {
            path: path.into(),
            source,
            header,
            rows: Vec::new(),
            faults: Vec::new(),
        };
        table.check_header()?;
        Ok(table)
    }

    fn check_header(&self) -> Result<()> {
        for (i, name) in self.header.iter().enumerate() {
            if self.header[..i].contains(name) {
                return Err(
                    self.header_error(format!("each column is named once, found `{name}` twice"))
                );
            }
        }
        Ok(())
    }

    pub(crate) fn fault(&mut self, line: u64, message: impl Into<String>) {
        self.faults.push(Fault {
            source: self.source,
            listing: self.path.clone(),
            row: Some(line),
            message: message.into(),
        });
    }

    pub(crate) fn header_error(&self, message: String) -> Error {
        Error::Data {
            path: self.path.clone(),
            // Elsewhere than in CSV the names of the columns stand in no row.
            row: (!super::held::is_held(&self.path)).then_some(1),
            message,
        }
    }

    /// The index of a column that must be there.
    pub(crate) fn needed(&self, name: &str) -> Result<usize> {
        self.column(name, &[])?.ok_or_else(|| {
            self.header_error(format!(
                "a column `{name}` is needed, found {}",
                quoted(&self.header)
            ))
        })
    }

    /// The index of a column that may be missing. A misspelt one is an error: read as missing, it would quietly do nothing.
    /// Columns in `others` have a meaning of their own and are no misspellings.
    pub(crate) fn column(&self, name: &str, others: &[&str]) -> Result<Option<usize>> {
        if let Some(i) = self.header.iter().position(|c| c == name) {
            return Ok(Some(i));
        }
        let near = self
            .header
            .iter()
            .find(|c| !others.contains(&c.as_str()) && misspelt(c, name));
        match near {
            Some(near) => Err(self.header_error(format!(
                "there is no column `{name}`, but `{near}` looks like it; rename one of the two (the columns are {})",
                quoted(&self.header)
            ))),
            None => Ok(None),
        }
    }
}

/// What separates the cells of a table: of comma, semicolon and tab the one that its header has most of outside of quotes, in
/// doubt the first of them.
pub(crate) fn separator(text: &[u8]) -> u8 {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let start = text
        .iter()
        .take_while(|b| matches!(b, b'\n' | b'\r'))
        .count();
    let mut counts = [(b',', 0usize), (b';', 0), (b'\t', 0)];
    let mut quoted = false;
    for byte in &text[start..] {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if !quoted => {
                for (separator, count) in &mut counts {
                    *count += usize::from(separator == byte);
                }
            }
            _ => {}
        }
    }
    let most = counts.iter().map(|(_, n)| *n).max().unwrap_or(0);
    counts
        .iter()
        .find(|(_, n)| *n == most)
        .map_or(b',', |(separator, _)| *separator)
}

/// Ends of lines: `\n`, `\r\n`, and `\r` alone as on old Macs.
fn count_lines(bytes: &[u8]) -> u64 {
    let is_end = |at: usize| match bytes[at] {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    (0..bytes.len()).filter(|at| is_end(*at)).count() as u64
}

pub(crate) fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<String> = names.iter().map(|n| format!("`{}`", n.as_ref())).collect();
    names.join(", ")
}

/// Whether `found` is `name` but for case and at most a third of its letters, two at most.
pub(crate) fn misspelt(found: &str, name: &str) -> bool {
    let (a, b) = (found.to_lowercase(), name.to_lowercase());
    edits(&a, &b) <= (b.chars().count() / 3).min(2)
}
