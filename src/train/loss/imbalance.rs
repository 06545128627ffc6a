//! Labels that few photos in training have beside another of the same head.

use super::class_weights::head_losses;
use super::tasks::Tasks;
use crate::data::dataset::{Dataset, Split};
use crate::error::Result;
use crate::head::ClassWeights;
use crate::model::ModelSpec;

/// Times that the commonest label has the photos of the rarest from which on a head is unbalanced.
const MANY: f64 = 10.0;

/// A head whose rarest label has few photos, and nothing is done about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Imbalance {
    /// The head.
    pub head: String,
    /// Its rarest label that any photo has, and its photos.
    pub rarest: (String, f64),
    /// Its commonest label, and its photos.
    pub commonest: (String, f64),
}

/// The unbalanced heads with equal class weights, by the training photos of a data set on its sides; photos of soft targets count
/// in parts.
///
/// # Errors
/// [`Error::EmptySplit`](crate::Error::EmptySplit) if no photo in training has any label of a head.
pub fn imbalances(spec: &ModelSpec, dataset: &Dataset) -> Result<Vec<Imbalance>> {
    let tasks = Tasks::new(spec)?;
    let losses = head_losses(&tasks, dataset, &dataset.indices(Split::Train))?;
    let heads = spec.heads.iter().zip(&losses);
    let unbalanced = heads.filter_map(|(head, loss)| {
        // The remedies named are not for labels of which a photo may have several.
        if head.is_multi_label() || head.loss.class_weights != ClassWeights::default() {
            return None;
        }
        let counts = match head.sums() {
            Some(sums) => sums.of_labels(&loss.counts),
            None => loss.counts.clone(),
        };
        let labels = head.labels.names.iter().zip(counts);
        let there: Vec<_> = labels.filter(|(_, photos)| *photos > 0.0).collect();
        let rarest = there.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
        let commonest = there.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        (commonest.1 >= MANY * rarest.1).then(|| Imbalance {
            head: head.name.clone(),
            rarest: (rarest.0.clone(), rarest.1),
            commonest: (commonest.0.clone(), commonest.1),
        })
    });
    Ok(unbalanced.collect())
}
