//! A [`Comparison`] as text, CSV and Markdown.

use super::comparison::{Cell, Comparison};
use super::runs::Side;
use crate::error::Result;
use crate::eval::score::shortened;
use crate::io::table::{self, write_json};
use crate::io::write_atomically;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

/// Columns of a variant's name in a terminal.
const NAME: usize = 27;

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (place, variant) in self.variants.iter().enumerate() {
            writeln!(f, "{place:>3} {}", variant.title)?;
            for change in &variant.changes {
                writeln!(f, "      {change}")?;
            }
        }
        let scored = match self.side {
            Side::HeldOut => "on held out",
            Side::Valid => "on validation",
        };
        for table in &self.figures {
            let interval = format!("{} % interval", percent(self.confidence));
            let name = table.figure.to_string();
            let line = format!(
                "{name:<w$}{:>4}  {scored:<16}{:>9}  {interval}",
                "runs",
                "change",
                w = NAME + 4
            );
            writeln!(f, "\n{line}")?;
            for (place, row) in table.rows.iter().enumerate() {
                let title = shortened(&self.variants[place].title, NAME - 1);
                let line = format!(
                    "{place:>3} {title:<NAME$}{:>4}  {:<16}{:>9}  {:<15} {}",
                    row.runs,
                    mean(row),
                    difference(row),
                    interval_of(row),
                    row.verdict.text()
                );
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        self.notes.iter().try_for_each(|n| writeln!(f, "\n{n}"))
    }
}

/// The rows of all figures: figure, variant, runs, mean, spread, pairs, difference, its interval, verdict.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the rows cannot be written.
pub fn to_csv(comparison: &Comparison) -> Result<String> {
    let number = |v: Option<f64>| v.map(|v| format!("{v:.6}")).unwrap_or_default();
    let rows = comparison.figures.iter().flat_map(|table| {
        table.rows.iter().enumerate().map(move |(place, row)| {
            let d = row.difference;
            [
                table.figure.to_string(),
                place.to_string(),
                comparison.variants[place].title.clone(),
                row.runs.to_string(),
                number(row.mean),
                number(row.spread),
                d.map(|d| d.pairs.to_string()).unwrap_or_default(),
                number(d.map(|d| d.mean)),
                number(d.and_then(|d| d.low)),
                number(d.and_then(|d| d.high)),
                row.verdict.text().to_string(),
            ]
        })
    });
    let titles = [
        "figure",
        "variant",
        "title",
        "runs",
        "mean",
        "spread",
        "pairs",
        "difference",
        "low",
        "high",
        "verdict",
    ];
    table::to_csv(titles, rows)
}

impl Comparison {
    /// Writes `results.json` and `results.csv` to a folder.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join("results.json"), self)?;
        write_atomically(&folder.join("results.csv"), to_csv(self)?.as_bytes())
    }
}

/// One Markdown table a figure.
pub fn to_markdown(comparison: &Comparison) -> String {
    let mut text = String::new();
    for table in &comparison.figures {
        if !text.is_empty() {
            text.push('\n');
        }
        text += &format!(
            "| {} | runs | mean ± spread | difference | {} % interval | |\n|---|---|---|---|---|---|\n",
            table.figure,
            percent(comparison.confidence)
        );
        for (place, row) in table.rows.iter().enumerate() {
            let title = match comparison.variants[place].title.as_str() {
                "baseline" => "baseline".to_string(),
                // A bar would end the cell, even in code.
                title => format!("`{}`", title.replace('|', "\\|")),
            };
            text += &format!(
                "| {title} | {} | {} | {} | {} | {} |\n",
                row.runs,
                mean(row),
                difference(row),
                interval_of(row),
                row.verdict.text()
            );
        }
    }
    text
}

fn percent(confidence: f64) -> String {
    // Rounded, for 100 · 0.95 is not 95 to the last digit.
    ((confidence * 1e8).round() / 1e6).to_string()
}

fn mean(row: &Cell) -> String {
    match (row.mean, row.spread) {
        (Some(m), Some(s)) => format!("{m:.4} ± {s:.4}"),
        (Some(m), None) => format!("{m:.4}"),
        _ => "–".into(),
    }
}

fn difference(row: &Cell) -> String {
    row.difference
        .map(|d| format!("{:+.4}", d.mean))
        .unwrap_or_default()
}

fn interval_of(row: &Cell) -> String {
    match row.difference.map(|d| (d.low, d.high)) {
        Some((Some(low), Some(high))) => format!("{low:+.4} {high:+.4}"),
        _ => String::new(),
    }
}
