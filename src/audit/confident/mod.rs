//! Confident learning: from given labels and out-of-sample probabilities to a matrix of how labels are confused, and to the
//! photos whose label is likely wrong.
//!
//! The method and its formulas are those of Northcutt, Jiang, Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
//! Labels"; what the paper leaves open (rounding, classes without photos, clipping) is settled as the PyPI package cleanlab 2.9.0
//! settles it, so that the same labels and probabilities give the same issues in the same order. Where photos tie, the one listed
//! first comes first; in cleanlab, ties fall as the processor's sorting instructions let them.
//!
//! ```
//! use hydranet::audit::{Given, Quality, Rule};
//! let labels = [0, 0, 0, 1, 1, 1];
//! let probs = [0.9, 0.1, 0.8, 0.2, 0.1, 0.9, 0.2, 0.8, 0.1, 0.9, 0.3, 0.7];
//! let given = Given::new(&labels, &probs, 2)?;
//! let joint = given.confident_joint();
//! let issues = given.issues(&joint, Rule::PruneByNoiseRate, 1)?;
//! assert_eq!(given.ranked(&issues, Quality::SelfConfidence)?, [2]);
//! # Ok::<(), hydranet::Error>(())
//! ```

mod issues;
mod joint;
mod latent;
mod quality;
mod real;
mod smallest_k;

pub use issues::Rule;
pub use joint::ConfidentJoint;
pub use latent::Noise;
pub use quality::Quality;
pub use real::Real;

use crate::error::{Error, Result};
use rayon::prelude::*;

/// Rows that one thread takes at a time.
const ROWS: usize = 1 << 13;

/// What counts as equal among probabilities.
const CLOSE: f64 = 1e-6;

/// Given labels and the probabilities predicted for them by models that did not see them.
#[derive(Clone, Debug)]
pub struct Given<'a, T> {
    labels: &'a [usize],
    probs: &'a [T],
    classes: usize,
    /// Photos with each label.
    label_counts: Vec<usize>,
    /// The probability of each photo's given label.
    own: Vec<T>,
}

impl<'a, T: Real> Given<'a, T> {
    /// Labels and probabilities, row after row.
    ///
    /// # Shapes
    /// `labels` `(photos)`, each below `classes`; `probs` `(photos, classes)`, each from 0 to 1.
    ///
    /// # Errors
    /// [`Error::Invalid`] for fewer than two classes, no photo, another number of probabilities, or one that is not from 0 to 1;
    /// [`Error::OutOfRange`] for a label.
    pub fn new(labels: &'a [usize], probs: &'a [T], classes: usize) -> Result<Self> {
        let invalid = |what: &str, expected: String, found: String| Error::Invalid {
            what: what.into(),
            expected,
            found,
        };
        if classes < 2 {
            let expected = "at least two".into();
            return Err(invalid("classes", expected, classes.to_string()));
        }
        if labels.is_empty() {
            return Err(invalid("labels", "at least one".into(), "none".into()));
        }
        if labels.len().checked_mul(classes) != Some(probs.len()) {
            let expected = format!("{} rows of {classes}", labels.len());
            return Err(invalid(
                "probabilities",
                expected,
                format!("{} values", probs.len()),
            ));
        }
        let mut label_counts = vec![0; classes];
        for (place, label) in labels.iter().enumerate() {
            let count = label_counts.get_mut(*label);
            *count.ok_or_else(|| Error::OutOfRange {
                what: format!("label {place}"),
                limit: classes,
                found: *label,
            })? += 1;
        }
        let valid = |p: &T| (p.wide() >= -CLOSE) & (p.wide() <= 1.0 + CLOSE);
        let mut own = vec![T::default(); labels.len()];
        let blocks = probs.par_chunks(ROWS * classes);
        let checked = blocks
            .zip(labels.par_chunks(ROWS).zip(own.par_chunks_mut(ROWS)))
            .map(|(block, (labels, own))| {
                let rows = block.chunks_exact(classes).zip(labels);
                own.iter_mut()
                    .zip(rows)
                    .for_each(|(own, (row, label))| *own = row[*label]);
                // Without a way out in the middle, so that it is done many at a time.
                block.iter().fold(true, |all, p| all & valid(p))
            });
        let good = checked.reduce(|| true, |a, b| a & b);
        let bad = (!good)
            .then(|| probs.iter().position(|p| !valid(p)))
            .flatten();
        match bad {
            Some(place) => Err(invalid(
                &format!(
                    "probability of class {} in row {}",
                    place % classes,
                    place / classes
                ),
                "a number from 0 to 1".into(),
                probs[place].wide().to_string(),
            )),
            None => Ok(Self {
                labels,
                probs,
                classes,
                label_counts,
                own,
            }),
        }
    }

    /// Photos with each label.
    pub fn label_counts(&self) -> &[usize] {
        &self.label_counts
    }

    #[inline]
    fn row(&self, place: usize) -> &[T] {
        &self.probs[place * self.classes..(place + 1) * self.classes]
    }
}

/// The greatest of some values; eight at a time, which the order of maxima allows. −∞ for none.
#[inline]
fn greatest<T: Real>(values: &[T]) -> T {
    let mut eight = [T::nearest(f64::NEG_INFINITY); 8];
    let chunks = values.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (max, v) in eight.iter_mut().zip(chunk) {
            *max = if *v > *max { *v } else { *max };
        }
    }
    let all = eight.iter().chain(rest);
    all.fold(eight[0], |max, v| if *v > max { *v } else { max })
}
