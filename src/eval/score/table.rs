//! A [`ScoreReport`] as text for a terminal, at most [`WIDTH`] columns wide.

use super::{ErrorSources, NamedScore, ScoreReport};
use crate::eval::metrics::ConfusionMatrix;
use std::fmt::{Display, Formatter, Result};

/// Columns a line may use.
pub(crate) const WIDTH: usize = 100;

/// A table of more labels than this shows no confusion matrix.
const MAX_SHOWN: usize = 20;

/// Confusions named.
const CONFUSED: usize = 5;

/// Columns of a label's name.
const NAME: usize = 56;

impl Display for ScoreReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(
            f,
            "{:<24}{:>8}{:>11}{:>11}{:>14}{:>16}",
            "", "photos", "accuracy", "macro F1", "labels seen", "their macro F1"
        )?;
        let all = || {
            let scores = self.heads.iter().chain([&self.class]);
            scores.flat_map(NamedScore::with_levels)
        };
        for score in all() {
            let name = shortened(&score.name, 23);
            let (photos, accuracy, f1) = (score.photos, score.accuracy, score.macro_f1);
            let (seen, all) = (score.more.present, score.labels.len());
            let (seen, of_seen) = (format!("{seen} of {all}"), score.more.macro_f1_present);
            match photos {
                0 => writeln!(f, "{name:<24}{photos:>8}{:>11}{:>11}", "–", "–")?,
                _ => writeln!(
                    f,
                    "{name:<24}{photos:>8}{accuracy:>11.4}{f1:>11.4}{seen:>14}{of_seen:>16.4}"
                )?,
            }
        }
        let measured = |score: &&NamedScore| score.photos > 0;
        for score in all().filter(measured) {
            writeln!(f)?;
            score.fmt(f)?;
        }
        writeln!(f)?;
        right_among(f, &self.class)?;
        confused(f, &self.class)?;
        self.errors.fmt(f)
    }
}

/// How often the final class is among the likeliest.
fn right_among(f: &mut Formatter<'_>, class: &NamedScore) -> Result {
    let more = &class.more;
    let tops = [(2, more.top_2), (3, more.top_3), (5, more.top_5)];
    let known = tops.into_iter().filter_map(|(k, share)| Some((k, share?)));
    let parts: Vec<String> = known.map(|(k, share)| format!("{k} {share:.4}")).collect();
    if parts.is_empty() {
        return Ok(());
    }
    writeln!(f, "final class among the likeliest: {}\n", parts.join(", "))
}

/// The commonest confusions of the final class.
fn confused(f: &mut Formatter<'_>, class: &NamedScore) -> Result {
    let mut cells: Vec<_> = class.confusion.cells().collect();
    cells.retain(|((truth, predicted), _)| truth != predicted);
    // Stable: confusions of one count stay in the order of the classes.
    cells.sort_by_key(|(_, photos)| std::cmp::Reverse(*photos));
    let shown = cells
        .iter()
        .take(CONFUSED)
        .filter(|(_, photos)| *photos > 1);
    for (i, ((truth, predicted), photos)) in shown.enumerate() {
        if i == 0 {
            writeln!(f, "most often confused:")?;
        }
        let name = |label: &usize| shortened(&class.labels[*label].label, NAME / 2 + 14);
        writeln!(
            f,
            "{photos:>6}  {} taken for {}",
            name(truth),
            name(predicted)
        )?;
    }
    if cells.first().is_some_and(|(_, photos)| *photos > 1) {
        writeln!(f)?;
    }
    Ok(())
}

impl Display for NamedScore {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let name = format!("{:>4}  {}", "", shortened(&self.name, NAME));
        writeln!(
            f,
            "{name:<62}{:>8}{:>10}{:>9}{:>9}",
            "photos", "precision", "recall", "F1"
        )?;
        for (i, row) in self.labels.iter().enumerate() {
            let (name, m) = (shortened(&row.label, NAME), &row.metrics);
            let (precision, recall, f1) = (m.precision, m.recall, m.f1);
            // No photo has it: macro F1 counts it as 0, that of the labels seen does not.
            if m.support == 0 {
                writeln!(
                    f,
                    "{i:>4}  {name:<NAME$}{:>8}{:>10}{:>9}{:>9}",
                    0, "–", "–", "–"
                )?;
                continue;
            }
            writeln!(
                f,
                "{i:>4}  {name:<NAME$}{:>8}{precision:>10.4}{recall:>9.4}{f1:>9.4}",
                m.support
            )?;
        }
        if let (Some(mae), Some(inside)) = (self.more.number_mae, self.more.number_coverage) {
            let r2 = self.more.number_r2;
            let r2 = r2.map_or("–".into(), |r2| format!("{r2:.4}"));
            writeln!(
                f,
                "      number: mean absolute error {mae:.4}, R² {r2}, {:.1} % in the interval of 90 %",
                100.0 * inside
            )?;
        }
        if let Some(distance) = self.more.tree_distance {
            let mistakes = self.more.mistake_distance;
            let mistakes = mistakes.map_or("–".into(), |d| format!("{d:.4}"));
            writeln!(
                f,
                "      in the tree of groups: mean distance {distance:.4}, of mistakes {mistakes}"
            )?;
        }
        if self.is_of_sets() {
            let mean = self.more.average_precision;
            let mean = mean.map_or("–".into(), |mean| format!("{mean:.4}"));
            return writeln!(
                f,
                "      several at once: mean average precision {mean}, micro F1 {:.4}, all labels right {:.4}",
                self.more.micro_f1, self.accuracy
            );
        }
        if self.labels.len() <= MAX_SHOWN {
            let names: Vec<&str> = self.labels.iter().map(|l| l.label.as_str()).collect();
            confusion(f, &names, &self.confusion)?;
        }
        Ok(())
    }
}

/// Counts under the labels' names if they fit in the width, else under the labels' numbers.
fn confusion(f: &mut Formatter<'_>, names: &[&str], matrix: &ConfusionMatrix) -> Result {
    let digits = matrix.cells().map(|(_, n)| n.to_string().len()).max();
    let digits = digits.unwrap_or(1).max(2);
    let longest = names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
    let named = 6 + longest + names.len() * (longest.max(digits) + 2) <= WIDTH;
    let (first, cell) = if named {
        (6 + longest, longest.max(digits) + 2)
    } else {
        (6, digits + 2)
    };
    writeln!(f, "      rows: truth, columns: prediction")?;
    let header: Vec<String> = (0..names.len())
        .map(|i| {
            if named {
                names[i].into()
            } else {
                i.to_string()
            }
        })
        .collect();
    write!(f, "{:first$}", "")?;
    line(f, &header, cell)?;
    for (truth, name) in header.iter().enumerate() {
        if named {
            write!(f, "      {name:<longest$}")?;
        } else {
            write!(f, "{name:>6}")?;
        }
        let counts: Vec<String> = (0..names.len())
            .map(|p| match matrix.count(truth, p) {
                0 => "·".into(),
                n => n.to_string(),
            })
            .collect();
        line(f, &counts, cell)?;
    }
    Ok(())
}

fn line(f: &mut Formatter<'_>, cells: &[String], width: usize) -> Result {
    let text: String = cells.iter().map(|c| format!("{c:>width$}")).collect();
    writeln!(f, "{text}")
}

impl Display for ErrorSources {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.heads.is_empty() {
            return Ok(());
        }
        let what = format!("wrong final class: {}", self.wrong);
        writeln!(
            f,
            "{what:<30}{:>12}{:>14}{:>22}{:>22}",
            "alone", "at all", "accuracy if right", "macro F1 if right"
        )?;
        for head in &self.heads {
            writeln!(
                f,
                "  {:<28}{:>12}{:>14}{:>22.4}{:>22.4}",
                shortened(&head.head, 27),
                head.alone,
                head.at_all,
                head.accuracy_if_right,
                head.macro_f1_if_right
            )?;
        }
        for set in &self.by_heads {
            let heads = shortened(&set.heads.join(" + "), WIDTH - 20);
            writeln!(f, "  only {heads}: {}", set.photos)?;
        }
        Ok(())
    }
}

/// `text` in at most `width` columns.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.into();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + "…"
}
