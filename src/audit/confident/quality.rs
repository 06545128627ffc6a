//! How good a label looks, one number a photo; and the order that gives.

use super::real::sum;
use super::smallest_k::by_value;
use super::{Given, ROWS, Real, greatest};
use crate::error::{Error, Result};
use crate::names::named;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A score of a label, from 0 (surely wrong) to 1 (surely right). With p the probabilities of K classes and y the given label:
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Quality {
    /// p_y. Its order is that of the loss −log p_y, turned round.
    #[default]
    SelfConfidence,
    /// (p_y − max_{k≠y} p_k + 1) / 2.
    NormalizedMargin,
    /// log(e + 1) / e with e = H(p) / (log K · p_y), H the entropy: a photo that nothing is known of scores better than one that
    /// is surely something else.
    ConfidenceWeightedEntropy,
}

named!(Quality, "score of a label", {
    SelfConfidence => "self_confidence",
    NormalizedMargin => "normalized_margin",
    ConfidenceWeightedEntropy => "confidence_weighted_entropy",
});

impl<T: Real> Given<'_, T> {
    /// The score of every photo's label.
    ///
    /// # Shapes
    /// Result `(photos)`.
    pub fn quality(&self, quality: Quality) -> Vec<f64> {
        if quality == Quality::SelfConfidence {
            return self.own.iter().map(|p| p.wide()).collect();
        }
        let rows = self.probs.par_chunks_exact(self.classes);
        rows.zip(self.labels)
            .with_min_len(ROWS)
            .map_init(Vec::new, |room, (row, label)| {
                score(quality, row, *label, room)
            })
            .collect()
    }

    /// These photos, those of the worst labels first, equals in the order of their places.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a place of no photo.
    pub fn ranked(&self, places: &[usize], quality: Quality) -> Result<Vec<usize>> {
        let photos = self.labels.len();
        if let Some(place) = places.iter().find(|place| **place >= photos) {
            return Err(Error::OutOfRange {
                what: "photo".into(),
                limit: photos,
                found: *place,
            });
        }
        let mut room = Vec::new();
        let scored = |place: &usize| {
            let score = score(quality, self.row(*place), self.labels[*place], &mut room);
            (score, *place)
        };
        let mut order: Vec<(f64, usize)> = places.iter().map(scored).collect();
        order.par_sort_unstable_by(by_value);
        Ok(order.into_iter().map(|(_, place)| place).collect())
    }
}

fn score<T: Real>(quality: Quality, row: &[T], label: usize, room: &mut Vec<T>) -> f64 {
    match quality {
        Quality::SelfConfidence => row[label].wide(),
        Quality::NormalizedMargin => margin(row, label),
        Quality::ConfidenceWeightedEntropy => entropy(row, label, room),
    }
}

/// The normalised margin. Each step is rounded to the width of the probabilities.
fn margin<T: Real>(row: &[T], label: usize) -> f64 {
    let (before, after) = (greatest(&row[..label]), greatest(&row[label + 1..]));
    let best = if before > after { before } else { after };
    ((row[label] - best + T::nearest(1.0)) / T::nearest(2.0)).wide()
}

/// The confidence-weighted entropy, so scaled that more is better; `terms` is room to work in.
fn entropy<T: Real>(row: &[T], label: usize, terms: &mut Vec<T>) -> f64 {
    terms.clear();
    let zero = T::default();
    terms.extend(
        row.iter()
            .map(|p| if *p > zero { *p * p.log() } else { zero }),
    );
    let normalized = -sum(terms).wide() / (row.len() as f64).ln();
    let least = T::nearest(1e-6);
    let own = if row[label] < least {
        least
    } else {
        row[label]
    };
    let weighted = normalized / own.wide();
    (weighted + 1.0).ln() / weighted.max(1e-6)
}
