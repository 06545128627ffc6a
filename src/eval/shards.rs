//! What is known of photos in the shards of an evaluation, so that all together are scored as if one had looked at them.

use super::evaluate::Judged;
use super::predictions::row;
use super::score::{Scored, Sure, sure};
use crate::data::dataset::Dataset;
use crate::error::{Error, Result};
use crate::io::table::csv_line;
use crate::taxonomy::Taxonomy;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One photo.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// Its line in the table of predictions.
    line: String,
    scored: Scored,
    sure: Sure,
}

/// The rows of these samples.
///
/// # Errors
/// [`Error::Config`] if one cannot be written as JSON.
pub(crate) fn rows(
    taxonomy: &Taxonomy,
    dataset: &Dataset,
    indices: &[usize],
    (predictions, scored): Judged,
) -> Result<Vec<Value>> {
    let sure = sure(taxonomy, dataset, indices, &predictions);
    let photos = indices
        .iter()
        .zip(&predictions)
        .zip(scored.into_iter().zip(sure));
    let rows = photos.map(|((i, prediction), (scored, sure))| {
        let of_photo = Row {
            line: csv_line(row(taxonomy, dataset, *i, prediction))?,
            scored,
            sure,
        };
        serde_json::to_value(of_photo).map_err(|e| Error::Config {
            origin: "a photo's scores".into(),
            message: "cannot be written as JSON".into(),
            source: Some(e.into()),
        })
    });
    rows.collect()
}

/// What is kept of the rows of all shards.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) scored: Vec<Scored>,
    pub(crate) sure: Vec<Sure>,
}

impl Kept {
    /// Takes a row, and gives its line of the table.
    pub(crate) fn take(&mut self, row: Row) -> String {
        self.scored.push(row.scored);
        self.sure.push(row.sure);
        row.line
    }
}
