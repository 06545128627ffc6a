//! Predictions as a table.

use crate::data::dataset::{Dataset, Value};
use crate::data::label_cell::written;
use crate::data::targets::{group_name, labels_of, labels_that_apply};
use crate::error::Result;
use crate::head::{NUMBER_COLUMNS, level_columns};
use crate::io::table::{csv_line, to_csv};
use crate::io::typed::{Columns, Kind, write_typed};
use crate::io::{is_parquet, write_atomically};
use crate::predict::{HeadPrediction, Prediction};
use crate::taxonomy::Taxonomy;
use std::path::Path;

/// Writes predictions as CSV, or in Parquet if the file is called so: path, final class, name, probability, then each head's label (of a head of several at once all that
/// are said, with `;` between them, or `-`), its truth where known, the probability of each of its labels, the number with its
/// interval where it predicts one, and the likeliest group of each level with its probability where its labels are in groups; the
/// truth may be a group then. Of several listings also which one the photo is of, last.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
pub fn write_predictions(
    path: &Path,
    taxonomy: &Taxonomy,
    dataset: &Dataset,
    indices: &[usize],
    predictions: &[Prediction],
) -> Result<()> {
    if is_parquet(path) {
        let columns = columns(taxonomy, dataset, &has_number(predictions));
        return write_typed(path, Some(&columns), |put| {
            let mut rows = indices.iter().zip(predictions);
            rows.try_for_each(|(i, p)| put(csv_line(row(taxonomy, dataset, *i, p))?))
        });
    }
    let text = predictions_csv(taxonomy, dataset, indices, predictions)?;
    write_atomically(path, text.as_bytes())
}

/// The text that [`write_predictions`] writes.
///
/// # Errors
/// If there is another number of cells in a row than of columns.
pub(crate) fn predictions_csv(
    taxonomy: &Taxonomy,
    dataset: &Dataset,
    indices: &[usize],
    predictions: &[Prediction],
) -> Result<String> {
    let rows = indices.iter().zip(predictions);
    let rows = rows.map(|(i, p)| row(taxonomy, dataset, *i, p));
    let columns = columns(taxonomy, dataset, &has_number(predictions));
    to_csv(columns.into_iter().map(|(name, _)| name), rows)
}

/// Whether there is a number of a head.
fn has_number(predictions: &[Prediction]) -> impl Fn(usize) -> bool {
    let first = predictions.first();
    move |head| first.is_some_and(|p| p.heads[head].number.is_some())
}

/// The columns, where `number` says of which heads there is a number.
pub(crate) fn columns(
    taxonomy: &Taxonomy,
    dataset: &Dataset,
    number: &dyn Fn(usize) -> bool,
) -> Columns {
    let mut columns = vec![
        ("path".into(), Kind::Text),
        ("class".into(), Kind::Whole),
        ("name".into(), Kind::Text),
        ("prob".into(), Kind::Number),
    ];
    for (i, head) in taxonomy.heads().iter().enumerate() {
        columns.push((head.clone(), Kind::Text));
        columns.push((format!("{head}_truth"), Kind::Text));
        columns.extend(head_columns(taxonomy, i, number(i)));
    }
    columns.extend(dataset.listing_title().map(|title| (title, Kind::Text)));
    columns
}

/// The columns of a head behind its label: of its labels' probabilities, of its number where it has one, and of its groups.
pub(crate) fn head_columns(taxonomy: &Taxonomy, head: usize, number: bool) -> Columns {
    let name = &taxonomy.heads()[head];
    let labels = taxonomy.labels(head).iter();
    let mut columns: Columns = labels
        .map(|label| (format!("{name}_{label}"), Kind::Number))
        .collect();
    if number {
        columns.extend(number_header(name).map(|c| (c, Kind::Number)));
    }
    // Two a level: the group, and its probability.
    let kinds = [Kind::Text, Kind::Number].into_iter().cycle();
    columns.extend(group_header(taxonomy, head).zip(kinds));
    columns
}

/// The cells of a sample.
pub(crate) fn row(
    taxonomy: &Taxonomy,
    dataset: &Dataset,
    index: usize,
    p: &Prediction,
) -> Vec<String> {
    let sample = &dataset.samples[index];
    let mut row = vec![
        sample.name.clone(),
        p.class.to_string(),
        p.name.clone(),
        format!("{:.6}", p.prob),
    ];
    let known = labels_that_apply(taxonomy, dataset, index);
    let applies = taxonomy.applies(&known);
    for (head, h) in p.heads.iter().enumerate() {
        let name = |label: usize| taxonomy.labels(head)[label].as_str();
        let truth = match &sample.values[head] {
            Some(value) if taxonomy.is_multi_label(head) && applies[head] != Some(false) => {
                let of_photo = labels_of(&dataset.heads[head], value);
                written(of_photo.into_iter().map(name))
            }
            Some(Value::Group(group)) if applies[head] != Some(false) => {
                let group = group_name(&dataset.heads[head], *group);
                group.unwrap_or_default().into()
            }
            _ => known[head].map_or(String::new(), |t| name(t).into()),
        };
        row.extend([label_cell(h), truth]);
        row.extend(h.probs.iter().map(|p| format!("{p:.6}")));
        row.extend(number_cells(h));
        row.extend(group_cells(h));
    }
    row.extend(dataset.listing(sample));
    row
}

/// What a head says in its column: its label, or those of several at once; nothing where it does not apply.
pub(crate) fn label_cell(head: &HeadPrediction) -> String {
    match (&head.labels, &head.label) {
        (Some(labels), _) => written(labels.iter().map(String::as_str)),
        (None, Some(label)) => label.clone(),
        (None, None) => String::new(),
    }
}

/// The columns of a head's number.
fn number_header(head: &str) -> impl Iterator<Item = String> {
    NUMBER_COLUMNS.iter().map(move |c| format!("{head}_{c}"))
}

/// What stands in them; nothing of a head that predicts no number.
pub(crate) fn number_cells(head: &HeadPrediction) -> impl Iterator<Item = String> {
    let number = head.number.map(|n| [n.mean, n.low, n.high]);
    number.into_iter().flatten().map(|v| format!("{v:.6}"))
}

/// The columns of the groups of a head, two a level: the group, and its probability.
pub(super) fn group_header(taxonomy: &Taxonomy, head: usize) -> impl Iterator<Item = String> {
    let levels = taxonomy.groups(head).map_or(0, |g| g.levels().len());
    let name = &taxonomy.heads()[head];
    (1..=levels).flat_map(move |level| level_columns(name, level))
}

/// What stands in them; nothing of a head without groups.
pub(crate) fn group_cells(head: &HeadPrediction) -> impl Iterator<Item = String> {
    let groups = head.groups.iter();
    groups.flat_map(|g| [g.group.clone(), format!("{:.6}", g.prob)])
}
