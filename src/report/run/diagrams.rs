//! How honest probabilities are, what abstaining buys, and how near numbers are.

use crate::eval::metrics::{CALIBRATION_BINS, calibration_bin};
use crate::eval::score::accuracies;
use crate::report::figure::{Axis, Figure, Mark};

const SIZE: (f64, f64) = (520.0, 300.0);
/// Points of a curve of coverage at most, dots of a scatter, and bars of a histogram.
const POINTS: usize = 200;
const DOTS: usize = 1500;
const BARS: usize = 24;

/// The share predicted right in each bin of confidence (DeGroot and Fienberg 1983; in this form Guo and others 2017), from each
/// photo's confidence and whether it was right.
pub(super) fn reliability(photos: &[(f64, bool)]) -> Option<Figure> {
    if photos.is_empty() {
        return None;
    }
    let mut bins = [(0usize, 0usize, 0.0); CALIBRATION_BINS];
    for (confidence, right) in photos {
        let bin = &mut bins[calibration_bin(*confidence)];
        bin.0 += 1;
        bin.1 += usize::from(*right);
        bin.2 += confidence;
    }
    let width = 1.0 / CALIBRATION_BINS as f64;
    let bars = bins.iter().enumerate().filter(|(_, bin)| bin.0 > 0);
    let bars = bars.map(|(i, (count, right, sum))| {
        let (accuracy, mean) = (*right as f64 / *count as f64, sum / *count as f64);
        Mark::Bar {
            from: i as f64 * width,
            to: (i + 1) as f64 * width,
            height: accuracy,
            text: format!("{count} photos: mean probability {mean:.3}, right {accuracy:.3}"),
        }
    });
    let mut marks: Vec<Mark> = bars.collect();
    marks.push(Mark::Faint(vec![(0.0, 0.0), (1.0, 1.0)]));
    Some(Figure {
        title: "right, by probability".into(),
        size: SIZE,
        x: Axis::new("probability of what is predicted", 0.0, 1.0).percent(),
        y: Axis::new("", 0.0, 1.0).percent(),
        marks,
    })
}

/// The accuracy on the photos a model is surest of, by their share.
pub(super) fn coverage(mut photos: Vec<(f64, bool)>) -> Option<Figure> {
    let accuracy = accuracies(&mut photos);
    let count = accuracy.len();
    let step = count.div_ceil(POINTS).max(1);
    let all = accuracy.iter().enumerate();
    let points = all.filter(|(i, _)| (i + 1) % step == 0 || i + 1 == count);
    let points: Vec<(f64, f64)> = points
        .map(|(i, accuracy)| ((i + 1) as f64 / count as f64, *accuracy))
        .collect();
    let least = points.iter().map(|p| p.1).fold(1.0, f64::min);
    (count > 1).then(|| Figure {
        title: "accuracy on the surest photos".into(),
        size: SIZE,
        x: Axis::new("share of the photos that is predicted", 0.0, 1.0).percent(),
        y: Axis::new("", (0.9 * least).min(0.98), 1.0).percent(),
        marks: vec![Mark::Line {
            series: 0,
            name: String::new(),
            points,
        }],
    })
}

/// Numbers and what is said of them: said over true, and how far apart they are. Each with the photo's name.
pub(super) fn numbers(pairs: &[(f64, f64, String)]) -> Vec<Figure> {
    if pairs.is_empty() {
        return Vec::new();
    }
    let both = || pairs.iter().flat_map(|p| [p.0, p.1]);
    let (least, most) = both().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| {
        (a.min(v), b.max(v))
    });
    let dots = pairs.iter().step_by(pairs.len().div_ceil(DOTS));
    let dots = dots.map(|(truth, said, name)| Mark::Dot {
        at: (*truth, *said),
        radius: 2.5,
        text: format!("{name}: {said:.2} said, {truth:.2} true"),
    });
    let mut marks = vec![Mark::Faint(vec![(least, least), (most, most)])];
    marks.extend(dots);
    let scatter = Figure {
        title: "said, by true number".into(),
        size: SIZE,
        x: Axis::around("true number", both()),
        y: Axis::around("", both()),
        marks,
    };
    let errors: Vec<f64> = pairs.iter().map(|p| p.1 - p.0).collect();
    let widest = errors.iter().map(|e| e.abs()).fold(1e-9, f64::max);
    let width = 2.0 * widest / BARS as f64;
    let mut counts = [0usize; BARS];
    for error in &errors {
        counts[(((error + widest) / width) as usize).min(BARS - 1)] += 1;
    }
    let highest = counts.iter().copied().max().unwrap_or(1) as f64;
    let bars = counts.iter().enumerate().map(|(i, count)| {
        let from = i as f64 * width - widest;
        Mark::Bar {
            from,
            to: from + width,
            height: *count as f64,
            text: format!("{count} photos from {from:+.2} to {:+.2}", from + width),
        }
    });
    let histogram = Figure {
        title: "photos, by error".into(),
        size: SIZE,
        x: Axis::new("said less true number", -widest, widest),
        y: Axis::new("", 0.0, highest).whole(),
        marks: bars.collect(),
    };
    vec![scatter, histogram]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_of_a_reliability_diagram_are_those_of_the_calibration_error() {
        let photos = [
            (0.05, false),
            (1.0, true),
            (0.99, false),
            (1.0 / 15.0, true),
        ];
        let figure = reliability(&photos).unwrap();
        let bars = figure.marks.iter().filter_map(|m| match m {
            Mark::Bar {
                from, height, text, ..
            } => Some((*from, *height, text.as_str())),
            _ => None,
        });
        let bars: Vec<_> = bars.collect();
        assert_eq!(bars.len(), 2, "{bars:?}");
        assert_eq!((bars[0].0, bars[0].1), (0.0, 0.5));
        assert!(
            bars[0]
                .2
                .starts_with("2 photos: mean probability 0.058, right 0.5")
        );
        assert_eq!(bars[1].1, 0.5);
        assert!(reliability(&[]).is_none() && coverage(Vec::new()).is_none());
    }

    #[test]
    fn every_error_of_a_number_is_in_a_bar() {
        let pairs: Vec<(f64, f64, String)> = (0..50)
            .map(|i| {
                (
                    f64::from(i),
                    f64::from(i) + f64::from(i % 7) - 3.0,
                    String::new(),
                )
            })
            .collect();
        let figures = numbers(&pairs);
        let heights = figures[1].marks.iter().map(|m| match m {
            Mark::Bar { height, .. } => *height,
            _ => 0.0,
        });
        assert_eq!(heights.sum::<f64>(), 50.0);
        assert!(numbers(&[]).is_empty());
        let same = vec![(3.0, 3.0, String::new())];
        assert!(numbers(&same).iter().all(|f| !f.inline().contains("NaN")));
    }
}
