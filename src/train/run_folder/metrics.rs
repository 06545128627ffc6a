//! The columns of `metrics.csv`.

use super::record::EpochRecord;
use crate::train::balancing::pairs;

/// A column, and what stands in it.
type Rate = (&'static str, fn(&EpochRecord) -> Option<f64>);

/// The learning rates.
const RATES: [Rate; 2] = [
    ("lr_backbone", |r| r.lr_backbone),
    ("lr_heads", |r| r.lr_heads),
];

/// The titles; those of figures that no epoch has are left out.
pub(super) fn titles(heads: &[String], records: &[EpochRecord]) -> Vec<String> {
    let mut titles = ["epoch", "train_loss"].map(String::from).to_vec();
    for (title, of) in RATES {
        if records.iter().any(|r| of(r).is_some()) {
            titles.push(title.into());
        }
    }
    titles.extend(["valid_loss", "macro_f1", "accuracy"].map(String::from));
    // A joint head has no scores of its own.
    let scored = records.first().map_or(0, |r| r.head_accuracy.len());
    for head in heads.iter().take(scored) {
        titles.extend([format!("{head}_accuracy"), format!("{head}_macro_f1")]);
    }
    if records.iter().any(|r| !r.head_weights.is_empty()) {
        titles.extend(heads.iter().map(|h| format!("{h}_weight")));
    }
    if records.iter().any(|r| r.gradients.is_some()) {
        titles.extend(heads.iter().map(|h| format!("{h}_gradient")));
        let pairs = pairs(heads.len());
        titles.extend(pairs.map(|(a, b)| format!("{}_{}_cosine", heads[a], heads[b])));
    }
    titles
}

/// The cells of an epoch under [`titles`]; empty ones where nothing was measured.
pub(super) fn cells(
    heads: &[String],
    records: &[EpochRecord],
    record: &EpochRecord,
) -> Vec<String> {
    let cell = |figure: &Option<f64>| figure.map(|f| format!("{f:.6}")).unwrap_or_default();
    let mut row = vec![record.epoch.to_string(), cell(&Some(record.train_loss))];
    for (_, of) in RATES {
        if records.iter().any(|r| of(r).is_some()) {
            // They are small.
            row.push(of(record).map(|f| format!("{f:e}")).unwrap_or_default());
        }
    }
    let whole = [record.valid_loss, record.macro_f1, record.accuracy];
    row.extend(whole.iter().map(cell));
    for (accuracy, f1) in record.head_accuracy.iter().zip(&record.head_macro_f1) {
        row.extend([cell(accuracy), cell(f1)]);
    }
    let gradients = record.gradients.iter();
    let figures = gradients.flat_map(|g| g.norms.iter().chain(&g.cosines));
    row.extend(record.head_weights.iter().chain(figures).map(cell));
    row.resize(titles(heads, records).len(), String::new());
    row
}
