//! Finished runs side by side.

use super::changes::{Change, differences, title};
use super::figure::Figure;
use super::runs::{FinishedRun, Side};
use super::statistics::{PairedDifference, mean, paired_difference, spread};
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Variants against a baseline. `Display` gives tables for a terminal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The photos the runs were scored on.
    pub side: Side,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// The baseline, then the others in the order of their first run.
    pub variants: Vec<VariantRuns>,
    /// A table for each figure.
    pub figures: Vec<FigureTable>,
    /// What a reader has to know.
    pub notes: Vec<String>,
}

/// Runs of one configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VariantRuns {
    /// What differs from the baseline, in the form of settings.
    pub title: String,
    /// The same, value by value.
    pub changes: Vec<Change>,
    /// The runs' folders.
    pub folders: Vec<PathBuf>,
    /// Mean seconds of a run, if known.
    pub seconds: Option<f64>,
}

/// One figure of all variants.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FigureTable {
    /// The figure.
    pub figure: Figure,
    /// A row a variant, in their order.
    pub rows: Vec<Cell>,
}

/// One figure of one variant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Runs that have it.
    pub runs: usize,
    /// Their mean.
    pub mean: Option<f64>,
    /// Their standard deviation.
    pub spread: Option<f64>,
    /// Variant minus baseline over the runs of the same split and seed; `None` for the baseline, and without such runs.
    pub difference: Option<PairedDifference>,
    /// What that says.
    pub verdict: Verdict,
}

/// What a paired difference says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is what the others are compared to.
    Baseline,
    /// The interval lies on the better side of 0.
    Better,
    /// The interval lies on the worse side of 0.
    Worse,
    /// The interval holds 0, or one pair has none.
    NotDistinguishable,
    /// There is no run of the same split and seed as one of the baseline.
    NoPairs,
}

impl Verdict {
    /// In words; nothing for the baseline.
    pub fn text(self) -> &'static str {
        match self {
            Self::Baseline => "",
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NotDistinguishable => "not distinguishable",
            Self::NoPairs => "no pairs",
        }
    }
}

impl Comparison {
    /// Compares runs. Those of one configuration, but for the seed, are one variant; the first run's is the baseline. Where the
    /// pairs are of several splits, the intervals allow for training sets that overlap, see [`paired_difference`].
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no run, runs were scored on different sides, a run is there twice, or `confidence` is not
    /// between 0 and 1; [`Error::UnknownName`] for a figure that no run has.
    pub fn new(runs: &[FinishedRun], figures: &[Figure], confidence: f64) -> Result<Self> {
        let first = check(runs, figures, confidence)?;
        let mut groups: Vec<Vec<&FinishedRun>> = Vec::new();
        for run in runs {
            match groups.iter_mut().find(|g| g[0].config == run.config) {
                Some(group) => group.push(run),
                None => groups.push(vec![run]),
            }
        }
        for group in &groups {
            let mut seen = BTreeMap::new();
            for run in group {
                if let Some(other) = seen.insert((&run.split, run.seed), &run.folder) {
                    return Err(Error::Invalid {
                        what: format!("{} and {}", other.display(), run.folder.display()),
                        expected: "each run once".into(),
                        found: "two of the same configuration, split and seed".into(),
                    });
                }
            }
        }
        let variants = groups.iter().map(|group| VariantRuns::new(first, group));
        let tables = figures.iter().map(|figure| FigureTable {
            figure: figure.clone(),
            rows: rows(figure, &groups, confidence),
        });
        Ok(Self {
            side: first.side,
            confidence,
            variants: variants.collect(),
            figures: tables.collect(),
            notes: notes(runs),
        })
    }
}

impl VariantRuns {
    fn new(first: &FinishedRun, group: &[&FinishedRun]) -> Self {
        let changes = differences(&first.config, &group[0].config);
        let seconds: Vec<f64> = group.iter().filter_map(|r| r.seconds).collect();
        Self {
            title: title(&changes),
            changes,
            folders: group.iter().map(|r| r.folder.clone()).collect(),
            seconds: mean(&seconds),
        }
    }
}

fn rows(figure: &Figure, groups: &[Vec<&FinishedRun>], confidence: f64) -> Vec<Cell> {
    let name = figure.to_string();
    let score = |run: &FinishedRun| run.scores.get(&name).copied();
    let row = |(place, group): (usize, &Vec<&FinishedRun>)| {
        let values: Vec<f64> = group.iter().filter_map(|r| score(r)).collect();
        let (mut differences, mut ratios, mut splits) = (Vec::new(), Vec::new(), BTreeSet::new());
        for base in groups[0].iter().filter(|_| place > 0) {
            let pair = group
                .iter()
                .find(|r| r.split == base.split && r.seed == base.seed);
            if let Some((ours, theirs)) = pair.and_then(|r| Some((score(r)?, score(base)?))) {
                differences.push(ours - theirs);
                ratios.push(base.scored as f64 / base.trained as f64);
                splits.insert(&base.split);
            }
        }
        // On one split the training sets are the same, and what is measured is how much the seed matters.
        let ratio = match splits.len() {
            0 | 1 => 0.0,
            _ => mean(&ratios).unwrap_or(0.0),
        };
        let difference = paired_difference(&differences, ratio, confidence);
        let verdict = match difference {
            _ if place == 0 => Verdict::Baseline,
            None => Verdict::NoPairs,
            Some(d) if !d.is_distinguishable() => Verdict::NotDistinguishable,
            Some(d) if (d.mean > 0.0) != figure.metric.is_error() => Verdict::Better,
            Some(_) => Verdict::Worse,
        };
        Cell {
            runs: values.len(),
            mean: mean(&values),
            spread: spread(&values),
            difference,
            verdict,
        }
    };
    groups.iter().enumerate().map(row).collect()
}

fn check<'a>(
    runs: &'a [FinishedRun],
    figures: &[Figure],
    confidence: f64,
) -> Result<&'a FinishedRun> {
    let fail = |what: &str, expected: &str, found: String| {
        Err(Error::Invalid {
            what: what.into(),
            expected: expected.into(),
            found,
        })
    };
    let Some(first) = runs.first() else {
        return fail("runs", "at least one that is finished", "none".into());
    };
    if !(confidence > 0.0 && confidence < 1.0) {
        let expected = "a number between 0 and 1, as 0.95";
        return fail("confidence", expected, confidence.to_string());
    }
    if let Some(other) = runs.iter().find(|r| r.side != first.side) {
        return fail(
            "runs",
            "all of an experiment (scored on the fold held out) or none (scored on the validation side)",
            format!("{} and {}", first.folder.display(), other.folder.display()),
        );
    }
    let known: BTreeSet<&String> = runs.iter().flat_map(|r| r.scores.keys()).collect();
    let unknown = figures.iter().find(|f| !known.contains(&f.to_string()));
    match unknown {
        Some(figure) => Err(Error::UnknownName {
            what: "figure in these runs",
            found: figure.to_string(),
            known: known.into_iter().cloned().collect(),
        }),
        None => Ok(first),
    }
}

fn notes(runs: &[FinishedRun]) -> Vec<String> {
    let mut notes = Vec::new();
    let splits: BTreeSet<&String> = runs.iter().map(|r| &r.split).collect();
    if splits.len() == 1 && runs.len() > 1 {
        notes.push(
            "all runs are of one split: the intervals say how much the seed matters, not what other persons would give".into(),
        );
    }
    let programs: BTreeSet<&str> = runs
        .iter()
        .filter_map(|r| Some(r.code.as_ref()?.executable.as_str()))
        .collect();
    if programs.len() > 1 {
        let count = programs.len();
        notes.push(format!("the runs were made by {count} different builds"));
    }
    notes
}
