//! Labels that no photo in training has: nothing teaches a model to say them.

use super::HeadLoss;
use super::class_weights::head_losses;
use super::tasks::Tasks;
use crate::data::dataset::{Dataset, Split};
use crate::error::Result;
use crate::head::HeadSpec;
use crate::model::ModelSpec;
use serde::Serialize;
use std::fmt;

/// Labels of one head named at most; the joint head may have very many.
const NAMED: usize = 100;

/// What a training on these photos, which stand on their sides, would say of labels that none of them has, a line a head.
///
/// # Errors
/// [`Error::EmptySplit`](crate::Error::EmptySplit) if no photo in training has any label of a head.
pub fn without_photos(spec: &ModelSpec, dataset: &Dataset) -> Result<Vec<String>> {
    let tasks = Tasks::new(spec)?;
    let losses = head_losses(&tasks, dataset, &dataset.indices(Split::Train))?;
    let unseen = Unseen::all(tasks.heads(), &losses);
    Ok(unseen.iter().map(ToString::to_string).collect())
}

/// A head with labels that no photo in training has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::train) struct Unseen {
    head: String,
    /// How many they are.
    count: usize,
    /// The labels, of many the first ones.
    labels: Vec<String>,
}

impl Unseen {
    /// Those of each head, by the counts that its loss has of the training photos.
    pub(super) fn all<'a>(
        heads: impl Iterator<Item = &'a HeadSpec>,
        losses: &[HeadLoss],
    ) -> Vec<Self> {
        let of_head = |(head, loss): (&HeadSpec, &HeadLoss)| {
            let counts = match head.sums() {
                Some(sums) => &sums.of_labels(&loss.counts),
                None => &loss.counts,
            };
            let pairs = head.labels.names.iter().zip(counts);
            let labels: Vec<&String> = pairs.filter(|(_, c)| **c == 0.0).map(|p| p.0).collect();
            (!labels.is_empty()).then(|| Self {
                head: head.name.clone(),
                count: labels.len(),
                labels: labels.into_iter().take(NAMED).cloned().collect(),
            })
        };
        heads.zip(losses).filter_map(of_head).collect()
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.labels.iter().take(10);
        let shown: Vec<String> = shown.map(|l| format!("`{l}`")).collect();
        let more = self.count - shown.len();
        let (noun, it) = match self.count {
            1 => ("label", "it"),
            _ => ("labels", "them"),
        };
        write!(f, "warning: {noun} {} ", shown.join(", "))?;
        if more > 0 {
            write!(f, "and {more} more ")?;
        }
        write!(
            f,
            "of head `{}` {} no photo in training: the model never learns to say {it}",
            self.head,
            if self.count == 1 { "has" } else { "have" }
        )
    }
}
