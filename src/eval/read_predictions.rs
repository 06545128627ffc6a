//! Predictions, read back from the table that [`write_predictions`](super::predictions::write_predictions) wrote.

use super::predictions::group_header;
use crate::data::label_cell::{self, Word};
use crate::data::photo_names::LISTING;
use crate::error::{Error, Result};
use crate::head::{MultiLabelSpec, NUMBER_COLUMNS};
use crate::taxonomy::{Groups, Taxonomy};
use std::path::Path;

/// What a table of predictions says of a photo.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PredictionRow {
    /// As its listing calls it.
    pub(crate) name: String,
    /// Which listing it is of, where there are several.
    pub(crate) listing: Option<String>,
    /// The final class, and its probability.
    pub(crate) class: usize,
    pub(crate) prob: f64,
    /// In the order of the heads.
    pub(crate) heads: Vec<HeadRow>,
}

/// What it says of a head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HeadRow {
    /// The label of the final class, of a head of several at once all that are said; `None` where the head does not apply.
    pub(crate) said: Option<Vec<usize>>,
    /// What is known of the photo; `None` if nothing is.
    pub(crate) truth: Option<Vec<usize>>,
    /// One a label.
    pub(crate) probs: Vec<f64>,
    /// Mean and interval of a head that predicts a number.
    pub(crate) number: Option<[f64; 3]>,
}

impl PredictionRow {
    /// The labels that are known of heads of which a photo has one.
    pub(crate) fn truths(&self, taxonomy: &Taxonomy) -> Vec<Option<usize>> {
        let heads = self.heads.iter().enumerate();
        let truth = |(i, head): (usize, &HeadRow)| match &head.truth {
            Some(labels) if !taxonomy.is_multi_label(i) => labels.first().copied(),
            _ => None,
        };
        heads.map(truth).collect()
    }
}

/// Reads a table of predictions of a model with these heads.
///
/// # Errors
/// [`Error::Io`], or [`Error::Data`] naming line and column if it is none of these heads'.
pub(crate) fn read_predictions(path: &Path, taxonomy: &Taxonomy) -> Result<Vec<PredictionRow>> {
    let bytes = crate::io::read::bytes(path, crate::io::read::RECORD)?;
    parse_predictions(&bytes, path, taxonomy)
}

/// As [`read_predictions`], of a table in memory.
///
/// # Errors
/// As there.
pub(crate) fn parse_predictions(
    bytes: &[u8],
    path: &Path,
    taxonomy: &Taxonomy,
) -> Result<Vec<PredictionRow>> {
    let fail = |row: Option<u64>, message: String| Error::Data {
        path: path.into(),
        row,
        message,
    };
    let mut reader = csv::Reader::from_reader(bytes);
    let titles = reader.headers().map_err(|e| fail(None, e.to_string()))?;
    let titles: Vec<String> = titles.iter().map(String::from).collect();
    let numbers = (0..taxonomy.heads().len()).map(|head| {
        let mean = format!("{}_{}", taxonomy.heads()[head], NUMBER_COLUMNS[0]);
        titles.contains(&mean)
    });
    let numbers: Vec<bool> = numbers.collect();
    let mut expected = ["path", "class", "name", "prob"].map(String::from).to_vec();
    for (i, head) in taxonomy.heads().iter().enumerate() {
        expected.extend([head.clone(), format!("{head}_truth")]);
        expected.extend(taxonomy.labels(i).iter().map(|l| format!("{head}_{l}")));
        if numbers[i] {
            expected.extend(NUMBER_COLUMNS.iter().map(|c| format!("{head}_{c}")));
        }
        expected.extend(group_header(taxonomy, i));
    }
    let listed = titles.len() == expected.len() + 1 && titles.last().is_some_and(|t| t == LISTING);
    if listed {
        expected.push(LISTING.into());
    }
    if let Some(place) =
        (0..expected.len().max(titles.len())).find(|i| expected.get(*i) != titles.get(*i))
    {
        let shown = |names: &[String]| names.get(place).map_or("none".into(), |n| format!("`{n}`"));
        let (needed, found) = (shown(&expected), shown(&titles));
        let message = format!("column {} has to be {needed}, found {found}", place + 1);
        return Err(fail(Some(1), message));
    }
    let mut rows = Vec::new();
    for (number, record) in reader.records().enumerate() {
        let line = number as u64 + 2;
        let record = record.map_err(|e| fail(Some(line), e.to_string()))?;
        let mut cells = Cells {
            titles: &titles,
            record: &record,
            at: 0,
        };
        let row = cells.row(taxonomy, &numbers, listed);
        rows.push(row.map_err(|message| fail(Some(line), message))?);
    }
    Ok(rows)
}

/// The cells of a line, taken one after the other.
struct Cells<'a> {
    titles: &'a [String],
    record: &'a csv::StringRecord,
    at: usize,
}

impl<'a> Cells<'a> {
    fn row(
        &mut self,
        taxonomy: &Taxonomy,
        numbers: &[bool],
        listed: bool,
    ) -> std::result::Result<PredictionRow, String> {
        let name = self.next().to_string();
        let class = self.next();
        let class = class.parse().ok().filter(|c| *c < taxonomy.num_classes());
        let class = class
            .ok_or_else(|| self.wrong(&format!("a class below {}", taxonomy.num_classes())))?;
        // Its name follows from the class.
        self.next();
        let prob = self.number()?;
        let mut heads = Vec::new();
        for (i, with_number) in numbers.iter().enumerate() {
            let labels = taxonomy.labels(i);
            let several = taxonomy.is_multi_label(i);
            heads.push(HeadRow {
                said: self.labels(labels, several)?,
                truth: self.truth(taxonomy, i)?,
                probs: labels
                    .iter()
                    .map(|_| self.number())
                    .collect::<Result<_, _>>()?,
                number: if *with_number {
                    Some([self.number()?, self.number()?, self.number()?])
                } else {
                    None
                },
            });
            // The likeliest groups follow from the probabilities.
            self.at += group_header(taxonomy, i).count();
        }
        Ok(PredictionRow {
            name,
            listing: listed.then(|| self.next().to_string()),
            class,
            prob,
            heads,
        })
    }

    fn next(&mut self) -> &'a str {
        self.at += 1;
        self.record.get(self.at - 1).unwrap_or_default()
    }

    /// What is wrong with the cell that was taken last.
    fn wrong(&self, expected: &str) -> String {
        let (title, cell) = (&self.titles[self.at - 1], self.record.get(self.at - 1));
        format!(
            "column `{title}`: {expected} is needed, found `{}`",
            cell.unwrap_or_default()
        )
    }

    fn number(&mut self) -> std::result::Result<f64, String> {
        let value = self.next().parse().ok().filter(|v: &f64| v.is_finite());
        value.ok_or_else(|| self.wrong("a number"))
    }

    /// The true labels of a head; of a photo whose group alone is known none.
    fn truth(
        &mut self,
        taxonomy: &Taxonomy,
        head: usize,
    ) -> std::result::Result<Option<Vec<usize>>, String> {
        let cell = self.record.get(self.at).unwrap_or_default();
        let of_group = |groups: &Groups| groups.names().iter().any(|name| name == cell);
        if taxonomy.groups(head).is_some_and(of_group) {
            self.at += 1;
            return Ok(None);
        }
        self.labels(taxonomy.labels(head), taxonomy.is_multi_label(head))
    }

    fn labels(
        &mut self,
        labels: &[String],
        several: bool,
    ) -> std::result::Result<Option<Vec<usize>>, String> {
        let cell = self.next();
        if cell.is_empty() {
            return Ok(None);
        }
        let found = if several {
            label_cell::parse(&MultiLabelSpec::default(), labels, cell)
        } else {
            let label = labels.iter().position(|l| l == cell);
            label.map(|l| vec![l]).ok_or(Word::Unknown(cell.into()))
        };
        found
            .map(Some)
            .map_err(|_| self.wrong("a label of the head"))
    }
}
