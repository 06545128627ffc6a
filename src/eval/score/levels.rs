//! The scores of a head's groups of labels, level by level.

use super::{NamedScore, Scored};
use crate::error::Result;
use crate::eval::metrics::{ConfusionMatrix, GroupMetrics, Probabilities};
use crate::model::combine::argmax;
use crate::taxonomy::{Groups, Taxonomy};

/// The scores of each level of a head's groups, the outermost first: of the group that is likeliest, by the sums of what its
/// labels have, held against the group of the photo's label or the group that alone is known of it. None where photos come
/// without probabilities.
pub(super) fn of_head(
    taxonomy: &Taxonomy,
    photos: &[Scored],
    head: usize,
) -> Result<Vec<NamedScore>> {
    let Some(groups) = taxonomy.groups(head) else {
        return Ok(Vec::new());
    };
    if photos.iter().any(|photo| photo.probs.is_empty()) {
        return Ok(Vec::new());
    }
    let levels = groups.levels().iter().enumerate();
    let of_level = levels.map(|(place, level)| {
        let mut counts = ConfusionMatrix::new(level.names.len());
        let mut probs = Probabilities::new(level.names.len());
        for photo in photos {
            let of_group = || {
                let group = photo.groups.get(head).copied().flatten()?;
                level.of_group.get(group).copied().flatten()
            };
            let truth = photo.truth[head].map(|label| level.of_label[label]);
            let applies = || taxonomy.applies(&photo.truth)[head] != Some(false);
            let Some(truth) = truth.or_else(of_group).filter(|_| applies()) else {
                continue;
            };
            let sums = level.sums(&photo.probs[head]);
            counts.add(truth, argmax(&sums))?;
            probs.add(truth, &sums)?;
        }
        let name = format!("{}, level {}", taxonomy.heads()[head], place + 1);
        Ok(NamedScore::new(
            &name,
            &level.names,
            counts,
            Some(&probs),
            false,
        ))
    });
    of_level.collect()
}

/// How far from the truth labels are that were predicted.
pub(super) fn distances(groups: &Groups, counts: &ConfusionMatrix) -> GroupMetrics {
    let distance = |((truth, predicted), photos): ((usize, usize), u64)| {
        groups.distance(truth, predicted) as f64 * photos as f64
    };
    let sum: f64 = counts.cells().map(distance).sum();
    let wrong = counts.total() - counts.correct();
    let mean = |photos: u64| (photos > 0).then(|| sum / photos as f64);
    GroupMetrics {
        tree_distance: mean(counts.total()),
        mistake_distance: mean(wrong),
    }
}
