//! When to stop: at the end of the time, and where there is no hope.

use super::comparison::Comparison;
use super::figure::Figure;
use super::file::GiveUp;
use super::runs::FinishedRun;
use crate::error::Result;
use std::time::{Duration, Instant};

/// The end of the time, if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) fn new(minutes: Option<f64>) -> Self {
        // Longer than a clock can count is no limit.
        let time = minutes.and_then(|m| Duration::try_from_secs_f64(60.0 * m).ok());
        Self(time.and_then(|t| Instant::now().checked_add(t)))
    }

    pub(crate) fn is_over(self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }

    /// Whether at least these seconds are left.
    pub(crate) fn leaves(self, seconds: f64) -> bool {
        self.0.is_none_or(|end| {
            let left = end.saturating_duration_since(Instant::now());
            !left.is_zero() && left.as_secs_f64() >= seconds
        })
    }
}

/// Whether `runs`, the baseline's first and then one variant's, say that the variant will not be worth more.
pub(crate) fn is_hopeless(
    rule: GiveUp,
    runs: &[FinishedRun],
    figure: &Figure,
    confidence: f64,
) -> Result<bool> {
    let name = figure.to_string();
    if !runs.iter().any(|r| r.scores.contains_key(&name)) {
        return Ok(false);
    }
    let comparison = Comparison::new(runs, std::slice::from_ref(figure), confidence)?;
    let difference = comparison.figures[0].rows.get(1).and_then(|r| r.difference);
    Ok(difference.is_some_and(|d| {
        let best = if figure.metric.is_error() {
            d.low.map(|low| -low)
        } else {
            d.high
        };
        d.pairs >= rule.after && best.is_some_and(|best| best < rule.margin)
    }))
}
