//! Probabilities of photos' labels, head by head, in a table: what models say that are to teach another.

use super::dataset::Sample;
use super::table::Table;
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::io::table::write_csv;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The probabilities of a photo's labels, one row a head; none where nothing is said of it.
pub(crate) type SoftRows = Vec<Option<Vec<f32>>>;

/// How far the probabilities of a row may be from 1 together; files have six digits.
const TOLERANCE: f64 = 1e-3;
/// How far they are at most where each is rounded to `f32` alone.
const ROUNDING: f64 = 1e-6;

/// A head's name, its labels, and whether several of them may be true at once.
struct Column {
    head: String,
    labels: Vec<String>,
    several: bool,
}

/// Probabilities by the photos' names.
pub(crate) struct SoftLabels {
    heads: Vec<Column>,
    rows: BTreeMap<String, SoftRows>,
}

impl SoftLabels {
    /// Of no photos yet.
    pub(crate) fn new(heads: &[HeadSpec]) -> Self {
        let heads = heads.iter().map(|head| Column {
            head: head.name.clone(),
            labels: head.labels.names.clone(),
            several: head.is_multi_label(),
        });
        Self {
            heads: heads.collect(),
            rows: BTreeMap::new(),
        }
    }

    pub(crate) fn insert(&mut self, photo: String, rows: SoftRows) {
        self.rows.insert(photo, rows);
    }

    /// Of what stands in the table under this name.
    pub(crate) fn named(&self, name: &str) -> Option<&SoftRows> {
        self.rows.get(name)
    }

    /// Of a photo by one of [`names`]; where others have had the same name, by its path.
    pub(crate) fn of(&self, name: &str, sample: &Sample) -> Option<&SoftRows> {
        let by_path = || self.rows.get(&sample.whole_path().display().to_string());
        self.rows.get(name).or_else(by_path)
    }

    /// Reads a table with a column `path` and, of any of the heads, a column `<head>_<label>` a label: what `hydranet label`,
    /// `predict` and `evaluate` write. Other columns are not looked at. Cells of a head may be empty together.
    ///
    /// # Errors
    /// [`Error::Data`] with the line if the table is none, has some of a head's columns only or those of no head, a photo stands
    /// in it twice, or numbers are no probabilities.
    pub(crate) fn read(path: &Path, heads: &[HeadSpec]) -> Result<Self> {
        let table = Table::read(path, 0)?;
        let fault = |line, message| Error::Data {
            path: path.into(),
            row: Some(line),
            message,
        };
        if let Some(first) = table.faults.first() {
            return Err(fault(first.row.unwrap_or(1), first.message.clone()));
        }
        let mut found = Self::new(heads);
        let name = table.needed("path")?;
        let mut columns = Vec::with_capacity(found.heads.len());
        for of in &found.heads {
            let places = of.labels.iter().map(|label| {
                let title = of.title(label);
                table.header.iter().position(|c| *c == title)
            });
            let places: Vec<Option<usize>> = places.collect();
            if let Some(lacking) = places.iter().position(Option::is_none)
                && places.iter().any(Option::is_some)
            {
                let lacking = of.title(&of.labels[lacking]);
                return Err(table.header_error(format!(
                    "a column a label of head `{}` is needed, `{lacking}` is not there",
                    of.head
                )));
            }
            columns.push(places.into_iter().collect::<Option<Vec<usize>>>());
        }
        if columns.iter().all(Option::is_none) {
            let first = found.heads.first().map(|h| h.title(&h.labels[0]));
            return Err(table.header_error(format!(
                "columns with the probabilities of a head's labels are needed, as `{}`, found none",
                first.unwrap_or_default()
            )));
        }
        for row in &table.rows {
            let of_head = |(head, places): (&Column, &Option<Vec<usize>>)| match places {
                Some(places) => head.row(places.iter().map(|p| row.cells[*p].trim())),
                None => Ok(None),
            };
            let rows = found.heads.iter().zip(&columns).map(of_head);
            let rows: std::result::Result<SoftRows, String> = rows.collect();
            let rows = rows.map_err(|message| fault(row.line, message))?;
            let photo = row.cells[name].clone();
            if found.rows.contains_key(&photo) {
                let message = format!("each photo stands in one line, found `{photo}` again");
                return Err(fault(row.line, message));
            }
            found.rows.insert(photo, rows);
        }
        Ok(found)
    }

    /// Writes such a table, photos by their names.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let titles = self
            .heads
            .iter()
            .flat_map(|head| head.labels.iter().map(|label| head.title(label)));
        let titles = std::iter::once("path".to_string()).chain(titles);
        let rows = self.rows.iter().map(|(photo, rows)| {
            let mut cells = vec![photo.clone()];
            for (head, row) in self.heads.iter().zip(rows) {
                match row {
                    // As many digits as the number has: what is read is what was written.
                    Some(row) => cells.extend(row.iter().map(f32::to_string)),
                    None => cells.extend(head.labels.iter().map(|_| String::new())),
                }
            }
            cells
        });
        write_csv(path, titles, rows)
    }
}

/// What the table calls photos: their names, or their paths where listings have photos of one name.
pub(crate) fn names(samples: &[&Sample]) -> Vec<String> {
    let mut counts = HashMap::new();
    for sample in samples {
        *counts.entry(&sample.name).or_insert(0) += 1;
    }
    let name = |sample: &&Sample| match counts[&sample.name] {
        1 => sample.name.clone(),
        _ => sample.whole_path().display().to_string(),
    };
    samples.iter().map(name).collect()
}

impl Column {
    fn title(&self, label: &str) -> String {
        format!("{}_{label}", self.head)
    }

    /// A row out of its cells.
    fn row<'a>(
        &self,
        cells: impl Iterator<Item = &'a str> + Clone,
    ) -> std::result::Result<Option<Vec<f32>>, String> {
        if cells.clone().all(str::is_empty) {
            return Ok(None);
        }
        let mut row = Vec::with_capacity(self.labels.len());
        for (cell, label) in cells.zip(&self.labels) {
            match cell.parse::<f32>() {
                Ok(p) if (0.0..=1.0).contains(&p) => row.push(p),
                _ => {
                    let title = self.title(label);
                    return Err(format!(
                        "a probability is needed in `{title}`, found `{cell}`"
                    ));
                }
            }
        }
        let sum: f64 = row.iter().map(|p| f64::from(*p)).sum();
        if !self.several {
            if (sum - 1.0).abs() > TOLERANCE {
                return Err(format!(
                    "the probabilities of head `{}` add up to 1, found {sum}",
                    self.head
                ));
            }
            // What is 1 but for rounding stays as it is, so that what is read is what was written.
            if (sum - 1.0).abs() > ROUNDING {
                row.iter_mut()
                    .for_each(|p| *p = (f64::from(*p) / sum) as f32);
            }
        }
        Ok(Some(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads() -> Vec<HeadSpec> {
        vec![
            HeadSpec::new("mask", ["worn", "not_worn"]),
            HeadSpec::multi_label("colour", ["red", "striped"]),
        ]
    }

    fn read(text: &str) -> Result<SoftLabels> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).unwrap();
        SoftLabels::read(&path, &heads())
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let mut labels = SoftLabels::new(&heads());
        let rows = vec![Some(vec![0.3, 0.7]), Some(vec![0.9, 0.8])];
        labels.insert("b, \"c\".jpg".into(), rows.clone());
        labels.insert("a.jpg".into(), vec![None, Some(vec![0.0, 1.0])]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        labels.write(&path).unwrap();
        let found = SoftLabels::read(&path, &heads()).unwrap();
        let of = |name: &str| found.of(name, &Sample::new(name, Vec::new(), Vec::new()));
        assert_eq!(of("b, \"c\".jpg"), Some(&rows));
        assert_eq!(of("a.jpg").unwrap()[0], None);
        assert_eq!(of("c.jpg"), None);
    }

    #[test]
    fn what_is_wrong_with_a_table_is_said_with_its_line() {
        for (text, line, word) in [
            ("path,age_old\na.jpg,1\n", 1, "found none"),
            ("path,mask_worn\na.jpg,1\n", 1, "mask_not_worn"),
            ("photo,mask_worn,mask_not_worn\na.jpg,1,0\n", 1, "`path`"),
            ("path,mask_worn,mask_not_worn\na.jpg,1,0.5\n", 2, "1.5"),
            (
                "path,mask_worn,mask_not_worn\na.jpg,1,0\nb.jpg,NaN,0\n",
                3,
                "NaN",
            ),
            (
                "path,mask_worn,mask_not_worn\na.jpg,1,\n",
                2,
                "mask_not_worn",
            ),
            (
                "path,mask_worn,mask_not_worn\na.jpg,1,0\na.jpg,1,0\n",
                3,
                "again",
            ),
            ("path,mask_worn,mask_not_worn\na.jpg,1\n", 2, "3 cells"),
        ] {
            match read(text).map(|_| ()) {
                Err(Error::Data { row, message, .. }) => {
                    assert_eq!(row, Some(line), "{text}");
                    assert!(message.contains(word), "{message}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
