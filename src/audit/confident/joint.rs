//! Thresholds, and the counts of given and likely true labels.

use super::real::sum;
use super::{CLOSE, Given, ROWS, Real, greatest};
use crate::error::{Error, Result};
use rayon::prelude::*;
use serde::Serialize;

/// No class is predicted with confidence.
const NONE: u32 = u32::MAX;

/// Photos by given and likely true label (Northcutt et al. 2021, equations 1 and 2).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfidentJoint {
    /// For each class, the mean probability of it over the photos it is given to; `None` without such a photo.
    pub thresholds: Vec<Option<f64>>,
    /// Photos with each given label.
    pub label_counts: Vec<usize>,
    /// `counts[given][likely]`: photos that are confidently predicted to be of a class, that is, with at least its threshold; the
    /// likeliest one if there are several. At least 1 on the diagonal.
    pub counts: Vec<Vec<usize>>,
    /// The same, scaled so that each row sums to the photos given that label.
    pub calibrated: Vec<Vec<usize>>,
    /// Each photo's confidently predicted class.
    #[serde(skip)]
    likely: Vec<u32>,
    /// Whether the given label is the likeliest one, but for 1e-6.
    #[serde(skip)]
    agrees: Vec<bool>,
}

impl ConfidentJoint {
    /// The class that a photo is confidently predicted to be of, if it is of any and there is such a photo.
    #[inline]
    pub fn likely(&self, place: usize) -> Option<usize> {
        let likely = self.likely.get(place).copied();
        likely.filter(|l| *l != NONE).map(|l| l as usize)
    }

    /// Refuses to be used for other photos than those with these counts of labels.
    pub(super) fn check(&self, label_counts: &[usize]) -> Result<()> {
        let classes = label_counts.len();
        let square = |m: &[Vec<usize>]| m.len() == classes && m.iter().all(|r| r.len() == classes);
        if self.label_counts == label_counts && square(&self.calibrated) {
            return Ok(());
        }
        let of = |counts: &[usize]| {
            let photos = counts.iter().fold(0, |a: usize, b| a.saturating_add(*b));
            format!("one of {photos} photos and {} classes", counts.len())
        };
        Err(Error::Invalid {
            what: "the confident joint".into(),
            expected: format!("that of these photos, {}", of(label_counts)),
            found: format!("that of others, {}", of(&self.label_counts)),
        })
    }

    /// Whether a photo's given label is the likeliest one.
    #[inline]
    pub(super) fn agrees(&self, place: usize) -> bool {
        self.agrees.get(place).copied().unwrap_or(true)
    }

    /// Photos that stand off the diagonal, and are likelier something else than what they are given.
    #[inline]
    pub(super) fn is_off_diagonal(&self, place: usize, label: usize) -> bool {
        !self.agrees(place) && self.likely(place).is_some_and(|l| l != label)
    }
}

impl<T: Real> Given<'_, T> {
    /// Thresholds and the confident joint. Takes one pass over the probabilities.
    pub fn confident_joint(&self) -> ConfidentJoint {
        let thresholds = self.thresholds();
        let cuts = cuts::<T>(&thresholds);
        let (mut likely, mut agrees) = (
            vec![NONE; self.labels.len()],
            vec![false; self.labels.len()],
        );
        let rows = self.probs.par_chunks(ROWS * self.classes);
        rows.zip(self.labels.par_chunks(ROWS))
            .zip(likely.par_chunks_mut(ROWS).zip(agrees.par_chunks_mut(ROWS)))
            .for_each(|((probs, labels), (likely, agrees))| {
                let rows = probs.chunks_exact(self.classes).zip(labels);
                for ((row, label), (likely, agrees)) in rows.zip(likely.iter_mut().zip(agrees)) {
                    let best = greatest(row);
                    *likely = confident(row, &cuts, best);
                    *agrees = agreement(row, *label, best);
                }
            });
        let mut counts = vec![vec![0; self.classes]; self.classes];
        for (label, likely) in self.labels.iter().zip(&likely) {
            if *likely != NONE {
                counts[*label][*likely as usize] += 1;
            }
        }
        for (class, row) in counts.iter_mut().enumerate() {
            row[class] = row[class].max(1);
        }
        let label_counts = self.label_counts.clone();
        ConfidentJoint {
            calibrated: calibrate(&counts, &label_counts),
            thresholds,
            label_counts,
            counts,
            likely,
            agrees,
        }
    }

    /// The mean self-confidence of each class, at least 2e-6; `None` for a class without photos.
    fn thresholds(&self) -> Vec<Option<f64>> {
        let mut own: Vec<Vec<T>> = vec![Vec::new(); self.classes];
        for (label, p) in self.labels.iter().zip(&self.own) {
            own[*label].push(*p);
        }
        let threshold = |own: Vec<T>| {
            let mean = T::nearest(sum(&own).wide() / own.len() as f64);
            let least = T::nearest(2.0 * CLOSE);
            (!own.is_empty()).then(|| if mean < least { least } else { mean }.wide())
        };
        own.into_iter().map(threshold).collect()
    }
}

/// The least probability of each class that counts as confident; one of no photos is out of reach. Taken in the width of the
/// probabilities if every class has a threshold of that width, as NumPy would.
fn cuts<T: Real>(thresholds: &[Option<f64>]) -> Vec<f64> {
    let narrow = thresholds.iter().all(Option::is_some);
    let cut = |threshold: &Option<f64>| match threshold {
        Some(t) if narrow => (T::nearest(*t) - T::nearest(CLOSE)).wide(),
        Some(t) => t - CLOSE,
        None => 2.0 - CLOSE,
    };
    thresholds.iter().map(cut).collect()
}

/// The only class that reaches its cut, or the likeliest if there are several.
#[inline]
fn confident<T: Real>(row: &[T], cuts: &[f64], best: T) -> u32 {
    let reaches = |(p, cut): (&T, &f64)| p.wide() >= *cut;
    let place = match row
        .iter()
        .zip(cuts)
        .filter(|(p, c)| reaches((p, c)))
        .count()
    {
        0 => None,
        1 => row.iter().zip(cuts).position(reaches),
        _ => row.iter().position(|p| *p == best),
    };
    place.map_or(NONE, |place| place as u32)
}

/// Whether the label is the likeliest class once it is given 1e-6 more; of equals the first is the likeliest.
#[inline]
fn agreement<T: Real>(row: &[T], label: usize, best: T) -> bool {
    let own = row[label] + T::nearest(CLOSE);
    own > best || (own == best && !row[..label].contains(&best))
}

/// Scales rows to the counts of the labels, and rounds so that the sums stay.
fn calibrate(counts: &[Vec<usize>], label_counts: &[usize]) -> Vec<Vec<usize>> {
    let n = counts.len();
    let scaled = |given: usize, likely: usize| {
        let row: usize = counts[given].iter().sum();
        counts[given][likely] as f64 / row as f64 * label_counts[given] as f64
    };
    // The order of the sum is part of its last bit, and that of a cell that is half and half.
    let all: Vec<f64> = (0..n)
        .flat_map(|likely| (0..n).map(move |given| scaled(given, likely)))
        .collect();
    let (total, photos) = (sum(&all), label_counts.iter().sum::<usize>() as f64);
    (0..n)
        .map(|given| {
            let row: Vec<f64> = (0..n)
                .map(|likely| scaled(given, likely) / total * photos)
                .collect();
            round(&row)
        })
        .collect()
}

/// Whole numbers with the (rounded) sum of `row`: each cell rounded, then as many as needed moved by one, those first that lost
/// or gained most by rounding; of equals the last is raised, the first is lowered.
fn round(row: &[f64]) -> Vec<usize> {
    let wanted = sum(row).round_ties_even();
    let mut whole: Vec<f64> = row.iter().map(|v| v.round_ties_even()).collect();
    loop {
        let missing = wanted - whole.iter().sum::<f64>();
        if missing == 0.0 {
            return whole.into_iter().map(|v| v.max(0.0) as usize).collect();
        }
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|a, b| (row[*a] - whole[*a]).total_cmp(&(row[*b] - whole[*b])));
        if missing > 0.0 {
            order.reverse();
        }
        let moved = (missing.abs() as usize).min(row.len());
        order[..moved]
            .iter()
            .for_each(|i| whole[*i] += missing.signum());
    }
}
