//! An audit as tables for a terminal.

use super::confident::Rule;
use super::measure::Measured;
use super::report::Audit;
use super::retrain::Retrained;
use crate::experiment::PairedDifference;
use std::fmt::{Display, Formatter, Result};

/// Pairs of labels shown of each head.
const PAIRS: usize = 3;

impl Display for Audit {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(
            f,
            "labels that models say which have not seen the photo (auditor), and that saying the commonest would hit:"
        )?;
        writeln!(
            f,
            "{:16} {:>7} {:>8} {:>9} {:>9} {:>16}  given → suggested",
            "", "photos", "auditor", "commonest", "suspects", "estimated wrong"
        )?;
        for head in &self.heads {
            let pairs = head.pairs.iter().take(PAIRS);
            let pairs: Vec<String> = pairs
                .map(|p| format!("{} → {} {}", p.given, p.suggested, p.suspects))
                .collect();
            writeln!(
                f,
                "{:16} {:>7} {:>7.1}% {:>8.1}% {:>9} {:>15.1}%  {}",
                head.head,
                head.photos,
                100.0 * head.auditor,
                100.0 * head.commonest,
                head.suspects,
                100.0 * head.estimated_wrong,
                pairs.join(", ")
            )?;
        }
        // An auditor that is no better than the commonest label doubts at random.
        for head in self.heads.iter().filter(|h| h.auditor <= h.commonest) {
            writeln!(
                f,
                "{}: the auditor is no better than the commonest label; what it suspects there is worth little",
                head.head
            )?;
        }
        for agreement in self.agreements.iter().filter(|a| a.agrees) {
            let of_head = |p: &&super::PersonHead| p.head == agreement.head;
            let heads = self
                .persons
                .iter()
                .flat_map(|p| p.heads.iter().filter(of_head));
            let suspect = heads.clone().filter(|h| h.suspect).count();
            let disagreeing = heads.filter(|h| !h.disagreeing.is_empty()).count();
            writeln!(
                f,
                "{} agrees over a person's photos: {suspect} persons suspected, {disagreeing} given several labels",
                agreement.head
            )?;
        }
        if let Some(measured) = &self.measured {
            measures(f, measured, self.rule)?;
        }
        if let Some(retrained) = &self.retrained {
            write!(f, "{retrained}")?;
        }
        Ok(())
    }
}

/// How well each order does, and the set that the rule names, with the sets of the persons suspected.
fn measures(f: &mut Formatter<'_>, measured: &Measured, rule: Rule) -> Result {
    writeln!(f, "\nlabels made wrong on purpose, and how they are found:")?;
    writeln!(
        f,
        "{:16} {:>8}  {:28} {:>17} {:>21}",
        "", "injected", "ranked by", "average precision", "precision at injected"
    )?;
    for head in &measured.heads {
        for (i, ranking) in head.rankings.iter().enumerate() {
            let (name, injected) = match i {
                0 => (head.head.as_str(), head.injected.to_string()),
                _ => ("", String::new()),
            };
            let ap = ranking.average_precision;
            writeln!(
                f,
                "{name:16} {injected:>8}  {:28} {:>17} {:>21.3}",
                ranking.by,
                ap.map_or("–".into(), |ap| format!("{ap:.3}")),
                ranking.precision_at_injected
            )?;
        }
        let of_rule = head.rules.get(&rule).map(|found| (rule.name(), found));
        let of_persons = head
            .persons
            .as_ref()
            .map(|found| ("suspected persons", found));
        for (name, found) in of_rule.into_iter().chain(of_persons) {
            writeln!(
                f,
                "{:26} {name}: {} photos, precision {:.3}, recall {:.3}",
                "", found.named, found.precision, found.recall
            )?;
        }
    }
    Ok(())
}

impl Display for Retrained {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(
            f,
            "\ntrained again, scored against {}; differences to the labels as given, with 95 % intervals:",
            self.scored_against
        )?;
        writeln!(
            f,
            "{:12} {:16} {:>8} {:>26} {:>8} {:>26}",
            "", "", "accuracy", "", "macro F1", ""
        )?;
        for arm in &self.arms {
            for (i, score) in arm.scores.iter().enumerate() {
                writeln!(
                    f,
                    "{:12} {:16} {:>8} {:>26} {:>8} {:>26}",
                    if i == 0 { arm.name.as_str() } else { "" },
                    score.head,
                    figure(score.accuracy),
                    interval(score.accuracy_difference),
                    figure(score.macro_f1),
                    interval(score.macro_f1_difference)
                )?;
            }
        }
        Ok(())
    }
}

fn figure(figure: Option<f64>) -> String {
    figure.map_or("–".into(), |f| format!("{f:.4}"))
}

fn interval(difference: Option<PairedDifference>) -> String {
    match difference {
        None => String::new(),
        Some(PairedDifference {
            mean,
            low: Some(low),
            high: Some(high),
            ..
        }) => format!("{mean:+.4} ({low:+.4} {high:+.4})"),
        Some(d) => format!("{:+.4}", d.mean),
    }
}
