//! Listings in CSV: a column `path`, a column a head, and optionally `person` and `split`.

use super::sample::{Fault, Sample, Split, Value};
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::io::recognise::what_it_is;
use crate::nearest::edits;
use std::path::{Path, PathBuf};

/// Reads a listing. Photos are found relative to its folder; an empty cell is a label that is not known. Further columns are
/// passed over, and a head may lack its column as long as another has one.
///
/// Rows that cannot be used are left out and come back as faults, in order.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read, [`Error::Data`] if it is not CSV in UTF-8 or its header does not serve.
pub fn read_manifest(
    path: &Path,
    source: usize,
    heads: &[HeadSpec],
) -> Result<(Vec<Sample>, Vec<Fault>)> {
    let mut table = Table::read(path, source)?;
    let photo = table.needed("path")?;
    let columns = Columns::find(&table, heads, &[])?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut samples = Vec::new();
    for row in std::mem::take(&mut table.rows) {
        let (values, person, split) = columns.parse(&mut table, &row, heads, &[]);
        let name = &row.cells[photo];
        if name.trim().is_empty() {
            table.fault(
                row.line,
                "column `path`: a photo is needed, found an empty cell",
            );
        }
        if table.faults.last().is_none_or(|f| f.row != Some(row.line)) {
            samples.push(Sample {
                photo: folder.join(name).into(),
                name: name.clone(),
                person,
                split,
                values,
                row: Some(row.line),
                source,
            });
        }
    }
    Ok((samples, table.faults))
}

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
            .from_reader(text.as_bytes());
        let mut table = Self {
            path: path.into(),
            source,
            header: Vec::new(),
            rows: Vec::new(),
            faults: Vec::new(),
        };
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
            if table.header.is_empty() {
                table.header = cells.iter().map(|c| c.trim().to_string()).collect();
            } else if cells.len() == table.header.len() {
                table.rows.push(Row { line, cells });
            } else {
                let message = format!(
                    "{} cells are needed, as many as columns, found {}",
                    table.header.len(),
                    cells.len()
                );
                table.fault(line, message);
            }
        }
        if table.header.is_empty() {
            return Err(whole(
                None,
                "a header line is needed, the file is empty".into(),
            ));
        }
        for (i, name) in table.header.iter().enumerate() {
            if table.header[..i].contains(name) {
                return Err(whole(
                    Some(1),
                    format!("each column is named once, found `{name}` twice"),
                ));
            }
        }
        Ok(table)
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
            row: Some(1),
            message,
        }
    }

    /// The index of a column that must be there.
    pub(crate) fn needed(&self, name: &str) -> Result<usize> {
        self.column(name, &[])?.ok_or_else(|| {
            let hint = match &self.header[..] {
                [one] if one.contains([';', '\t']) => "; cells are separated by commas",
                _ => "",
            };
            self.header_error(format!(
                "a column `{name}` is needed, found {}{hint}",
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

/// Where the cells of the heads, the person and the split stand.
pub(crate) struct Columns {
    heads: Vec<Option<usize>>,
    person: Option<usize>,
    split: Option<usize>,
}

type Cells = (Vec<Option<Value>>, Option<String>, Option<Split>);

impl Columns {
    /// Looks the columns up. `given` are columns whose values come from elsewhere, such as the names of files.
    pub(crate) fn find(table: &Table, heads: &[HeadSpec], given: &[&str]) -> Result<Self> {
        let mut known = vec!["path", "person", "split"];
        known.extend(heads.iter().map(HeadSpec::column));
        let find = |name: &str| {
            if given.contains(&name) {
                Ok(None)
            } else {
                table.column(name, &known)
            }
        };
        let columns = Self {
            heads: heads
                .iter()
                .map(|h| find(h.column()))
                .collect::<Result<_>>()?,
            person: find("person")?,
            split: find("split")?,
        };
        if columns.heads.iter().all(Option::is_none)
            && !heads.iter().any(|h| given.contains(&h.column()))
        {
            let wanted: Vec<&str> = heads.iter().map(HeadSpec::column).collect();
            return Err(table.header_error(format!(
                "a column for at least one head is needed ({}), found {}",
                quoted(&wanted),
                quoted(&table.header)
            )));
        }
        Ok(columns)
    }

    /// Reads a row's cells, and `given` (column, cell) pairs with them; what is wrong is added to the table's faults.
    pub(crate) fn parse(
        &self,
        table: &mut Table,
        row: &Row,
        heads: &[HeadSpec],
        given: &[(&str, &str)],
    ) -> Cells {
        let mut values = Vec::with_capacity(heads.len());
        for (head, column) in heads.iter().zip(&self.heads) {
            let given = given.iter().find(|(name, _)| *name == head.column());
            let cell = match (given, column) {
                (Some((_, cell)), _) => cell,
                (None, Some(i)) => row.cells[*i].as_str(),
                (None, None) => "",
            };
            values.push(parse_value(head, cell).unwrap_or_else(|message| {
                table.fault(row.line, message);
                None
            }));
        }
        let text = |column: Option<usize>| {
            let cell = column.map_or("", |i| row.cells[i].trim());
            (!cell.is_empty()).then_some(cell)
        };
        let split = text(self.split).and_then(|word| {
            word.parse()
                .map_err(|e: Error| table.fault(row.line, format!("column `split`: {e}")))
                .ok()
        });
        (values, text(self.person).map(str::to_string), split)
    }
}

/// What a cell says about a head; `None` if it is empty.
pub(crate) fn parse_value(
    head: &HeadSpec,
    cell: &str,
) -> std::result::Result<Option<Value>, String> {
    let cell = cell.trim();
    if cell.is_empty() {
        return Ok(None);
    }
    if head.labels.thresholds.is_empty() {
        let label = head.labels.names.iter().position(|l| l == cell);
        return label.map(|l| Some(Value::Label(l))).ok_or_else(|| {
            let unknown = Error::UnknownLabel {
                head: head.name.clone(),
                expected: head.labels.names.clone(),
                found: cell.into(),
            };
            format!("column `{}`: {unknown}", head.column())
        });
    }
    match cell.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(Value::Number(number))),
        _ => Err(format!(
            "column `{}`: a number is needed, found `{cell}`",
            head.column()
        )),
    }
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

fn quoted<S: AsRef<str>>(names: &[S]) -> String {
    let names: Vec<String> = names.iter().map(|n| format!("`{}`", n.as_ref())).collect();
    names.join(", ")
}

/// Whether `found` is `name` but for case and at most a third of its letters, two at most.
pub(crate) fn misspelt(found: &str, name: &str) -> bool {
    let (a, b) = (found.to_lowercase(), name.to_lowercase());
    edits(&a, &b) <= (b.chars().count() / 3).min(2)
}
