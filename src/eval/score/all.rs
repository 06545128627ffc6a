//! Every metric as a table for a terminal, at most [`WIDTH`] columns wide.

use super::table::{WIDTH, shortened};
use super::{NamedScore, ScoreReport};
use crate::eval::metrics::Metric;
use std::fmt::{Display, Formatter, Result};

/// Columns of a metric's name, and of one head's values.
const NAME: usize = 22;
const CELL: usize = 13;

/// A row a metric, a column a head and one for the final class; `–` where a metric is not defined or not known. Below it, which
/// labels have no area under a curve, because no photo has them or every one.
pub struct AllMetrics<'a>(pub &'a ScoreReport);

impl Display for AllMetrics<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let scores = self.0.heads.iter().chain([&self.0.class]);
        let scores: Vec<&NamedScore> = scores.flat_map(NamedScore::with_levels).collect();
        for (i, part) in scores.chunks((WIDTH - NAME) / CELL).enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            table(f, part)?;
        }
        for score in scores {
            let without: Vec<&str> = score
                .labels
                .iter()
                .filter(|l| l.roc_auc.is_none())
                .map(|l| l.label.as_str())
                .collect();
            // Where no label has one, the table's `–` says so.
            if score.more.roc_auc.is_some() && !without.is_empty() {
                let labels = without.join(", ");
                let text = format!(
                    "{}: roc_auc without {} of {} labels, which no photo has: {labels}",
                    score.name,
                    without.len(),
                    score.labels.len()
                );
                writeln!(f, "{}", shortened(&text, WIDTH))?;
            }
        }
        Ok(())
    }
}

fn table(f: &mut Formatter<'_>, scores: &[&NamedScore]) -> Result {
    let row = |f: &mut Formatter<'_>, name: &str, cells: Vec<String>| {
        write!(f, "{name:<NAME$}")?;
        cells.iter().try_for_each(|c| write!(f, "{c:>CELL$}"))?;
        writeln!(f)
    };
    let names = scores.iter().map(|s| shortened(&s.name, CELL - 2));
    row(f, "", names.collect())?;
    let photos = scores.iter().map(|s| s.photos.to_string());
    row(f, "photos", photos.collect())?;
    // Rows of numbers and groups only where there are any.
    let any = |metric: &Metric| {
        let of_some = metric.needs_number() || metric.needs_groups();
        !of_some || scores.iter().any(|s| s.get(*metric).is_some())
    };
    for metric in Metric::ALL.into_iter().filter(any) {
        let cells = scores.iter().map(|s| match s.get(metric) {
            Some(v) => format!("{v:.4}"),
            None => "–".into(),
        });
        row(f, metric.name(), cells.collect())?;
    }
    Ok(())
}
