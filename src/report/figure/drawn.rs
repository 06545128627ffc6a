//! The figures that commands write.

use super::{Axis, Figure, Mark};
use crate::experiment::Comparison;
use crate::train::find_lr::Trial;

/// The loss over the factor of the learning rates; `None` where nothing was tried.
pub(crate) fn learning_rates(trials: &[Trial]) -> Option<Figure> {
    let points = |value: fn(&Trial) -> f64| -> Vec<(f64, f64)> {
        let all = trials.iter().map(|t| (t.factor, value(t)));
        all.filter(|p| p.1.is_finite()).collect()
    };
    let (plain, smoothed) = (points(|t| t.loss), points(|t| t.smoothed));
    let (first, last) = (smoothed.first()?.0, smoothed.last()?.0);
    let losses = || smoothed.iter().map(|p| p.1);
    let (least, most) = losses().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| {
        (a.min(v), b.max(v))
    });
    // What lies beyond the smoothed losses would only press them flat.
    let room = 0.1 * (most - least);
    let clipped = plain
        .into_iter()
        .map(|(x, y)| (x, y.clamp(least - room, most + room)));
    Some(Figure {
        title: "loss at growing learning rates".into(),
        size: (800.0, 480.0),
        x: Axis::new("factor of lr_backbone and lr_heads", first, last).log(),
        y: Axis::around("", [least - room, most + room].into_iter()),
        marks: vec![
            Mark::Faint(clipped.collect()),
            Mark::Line {
                series: 0,
                name: "smoothed joint loss".into(),
                points: smoothed,
            },
        ],
    })
}

/// The paired differences to the baseline in the first figure, each with its interval; `None` without any.
pub(crate) fn differences(comparison: &Comparison) -> Option<Figure> {
    let table = comparison.figures.first()?;
    let rows = table.rows.iter().zip(&comparison.variants);
    // One pair has a difference but no interval.
    let bars = rows.filter_map(|(row, variant)| {
        let d = row.difference?;
        let (low, high) = (d.low.unwrap_or(d.mean), d.high.unwrap_or(d.mean));
        Some((&variant.title, low, d.mean, high, d.is_distinguishable()))
    });
    let bars: Vec<_> = bars.collect();
    let ends = bars.iter().flat_map(|b| [b.1, b.3]).chain([0.0]);
    let count = bars.len() as f64;
    let mut marks = vec![Mark::Faint(vec![(0.0, 0.0), (0.0, count)])];
    let intervals = bars
        .iter()
        .enumerate()
        .map(|(place, (title, low, mean, high, strong))| Mark::Interval {
            y: count - place as f64 - 0.5,
            ends: (*low, *high),
            middle: *mean,
            strong: *strong,
            label: (*title).clone(),
        });
    marks.extend(intervals);
    (!bars.is_empty()).then(|| Figure {
        title: format!("{}: difference to the baseline", table.figure),
        size: (960.0, 90.0 + 34.0 * count),
        x: Axis::around(
            format!(
                "mean and {} % interval of the paired difference",
                100.0 * comparison.confidence
            ),
            ends,
        ),
        y: Axis::new("", 0.0, count).bare(),
        marks,
    })
}
