//! Which labels are likely wrong.

use super::joint::ConfidentJoint;
use super::quality::Quality;
use super::smallest_k::SmallestK;
use super::{Given, ROWS, Real};
use crate::error::Result;
use crate::names::named;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A rule that says which labels are likely wrong (Northcutt et al. 2021, section 3.3). Every rule but the last two spares a
/// label that is the likeliest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// Of each given label, the photos of least self-confidence, as many as the joint has off the diagonal.
    PruneByClass,
    /// Of each given and each other label, the photos of greatest margin between the two, as many as the joint has there.
    #[default]
    PruneByNoiseRate,
    /// Those that both rules above name.
    Both,
    /// Those counted off the diagonal of the confident joint.
    ConfidentLearning,
    /// The photos of least normalised margin, as many as `ConfidentLearning` names.
    LowNormalizedMargin,
    /// The photos of least self-confidence, as many as `ConfidentLearning` names.
    LowSelfConfidence,
}

named!(Rule, "rule for wrong labels", {
    PruneByClass => "prune_by_class",
    PruneByNoiseRate => "prune_by_noise_rate",
    Both => "both",
    ConfidentLearning => "confident_learning",
    LowNormalizedMargin => "low_normalized_margin",
    LowSelfConfidence => "low_self_confidence",
});

impl<T: Real> Given<'_, T> {
    /// The photos whose label is likely wrong, ascending. The first three rules count at least `least` photos of each given label
    /// as right, and pass over a label that no more than `least` photos are given; 1 is usual.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) if `joint` is that of other photos.
    pub fn issues(&self, joint: &ConfidentJoint, rule: Rule, least: usize) -> Result<Vec<usize>> {
        joint.check(&self.label_counts)?;
        let pruned = |by_class: bool| {
            let marked = self.prune(joint, by_class, least);
            move |place: &usize| marked[*place] && !joint.agrees(*place)
        };
        let all = 0..self.labels.len();
        Ok(match rule {
            Rule::PruneByClass => all.filter(pruned(true)).collect(),
            Rule::PruneByNoiseRate => all.filter(pruned(false)).collect(),
            Rule::Both => all.filter(pruned(true)).filter(pruned(false)).collect(),
            Rule::ConfidentLearning => all
                .filter(|place| joint.is_off_diagonal(*place, self.labels[*place]))
                .collect(),
            Rule::LowNormalizedMargin => self.lowest(joint, Quality::NormalizedMargin),
            Rule::LowSelfConfidence => self.lowest(joint, Quality::SelfConfidence),
        })
    }

    fn lowest(&self, joint: &ConfidentJoint, quality: Quality) -> Vec<usize> {
        let off = |place: &usize| joint.is_off_diagonal(*place, self.labels[*place]);
        let mut lowest = SmallestK::new((0..self.labels.len()).filter(off).count());
        let scores = self.quality(quality).into_iter().enumerate();
        scores.for_each(|(place, score)| lowest.push(score, place));
        let mut places: Vec<usize> = lowest.places().collect();
        places.sort_unstable();
        places
    }

    /// Which photos to prune.
    fn prune(&self, joint: &ConfidentJoint, by_class: bool, least: usize) -> Vec<bool> {
        let mut keep = prune_counts(&joint.calibrated, least);
        for (given, (row, photos)) in keep.iter_mut().zip(&self.label_counts).enumerate() {
            // A single photo of a label is never pruned.
            if *photos > least.max(1) {
                row[given] = photos.saturating_sub(row[given])
            } else {
                row.fill(0)
            }
        }
        let rows = self.labels.len().div_ceil(2 * rayon::current_num_threads());
        let rows = rows.max(ROWS);
        let blocks: Vec<Vec<SmallestK>> = (0..self.labels.len().div_ceil(rows))
            .into_par_iter()
            .map(|block| {
                let places = block * rows..((block + 1) * rows).min(self.labels.len());
                if by_class {
                    self.least_confident(&keep, places)
                } else {
                    self.least_margins(&keep, places)
                }
            })
            .collect();
        let all = blocks.into_iter().reduce(|mut first, later| {
            let pairs = first.iter_mut().zip(later);
            pairs.for_each(|(first, later)| first.absorb(later));
            first
        });
        let mut marked = vec![false; self.labels.len()];
        for place in all.into_iter().flatten().flat_map(SmallestK::places) {
            marked[place] = true;
        }
        marked
    }

    /// For each given label, the photos of least self-confidence.
    fn least_confident(&self, keep: &[Vec<usize>], places: Range<usize>) -> Vec<SmallestK> {
        let mut all: Vec<SmallestK> = (0..self.classes)
            .map(|c| SmallestK::new(keep[c][c]))
            .collect();
        for place in places {
            all[self.labels[place]].push(self.own[place].wide(), place);
        }
        all
    }

    /// For each given and each other label, the photos whose probability of the other one exceeds most that of the given one.
    fn least_margins(&self, keep: &[Vec<usize>], places: Range<usize>) -> Vec<SmallestK> {
        let n = self.classes;
        let least = |pair: usize| match (pair / n, pair % n) {
            (given, other) if given == other => SmallestK::new(0),
            (given, other) => SmallestK::new(keep[given][other]),
        };
        let mut all: Vec<SmallestK> = (0..n * n).map(least).collect();
        let mut limits: Vec<f64> = all.iter().map(SmallestK::limit).collect();
        for place in places {
            let (row, own) = (self.row(place), self.own[place]);
            let of_label = self.labels[place] * n..(self.labels[place] + 1) * n;
            let (all, limits) = (&mut all[of_label.clone()], &mut limits[of_label]);
            // Most rows are below no limit, which is found out many values at a time.
            let below = |(p, limit): (&T, &f64)| (own - *p).wide() < *limit;
            if !row
                .iter()
                .zip(&*limits)
                .fold(false, |any, pair| any | below(pair))
            {
                continue;
            }
            for (p, (least, limit)) in row.iter().zip(all.iter_mut().zip(limits)) {
                least.push((own - *p).wide(), place);
                *limit = least.limit();
            }
        }
        all
    }
}

/// How many photos of each given label (row) to prune for each likely one (column), and on the diagonal how many to keep: at
/// least `least`, taken evenly from the others.
fn prune_counts(calibrated: &[Vec<usize>], least: usize) -> Vec<Vec<usize>> {
    let row = |(given, row): (usize, &Vec<usize>)| {
        let kept = row[given].max(least);
        let others = row.iter().filter(|c| **c > 0).count().saturating_sub(1);
        let less = (kept - row[given]) as f64 / others.max(1) as f64;
        let cell = |(likely, count): (usize, &usize)| {
            if likely == given {
                kept
            } else {
                (*count as f64 - less).max(0.0) as usize
            }
        };
        row.iter().enumerate().map(cell).collect()
    };
    calibrated.iter().enumerate().map(row).collect()
}
