//! How well a score ranks the photos of a label before the others.

/// Area under the ROC curve of one label, from `(score, has the label)` of each photo: the probability that a photo with the
/// label scores higher than one without, ties counting half (Fawcett 2006, "An Introduction to ROC Analysis"). `None` unless
/// there are photos of both kinds. Equal to scikit-learn's `roc_auc_score`.
pub fn roc_auc(photos: &[(f64, bool)]) -> Option<f64> {
    let (mut with, mut without, mut pairs) = (0u64, 0u64, 0.0);
    for group in groups(photos) {
        // Every photo with the label before this group stands above its photos without; within the group they tie.
        pairs += group.without as f64 * (with as f64 + group.with as f64 / 2.0);
        with += group.with;
        without += group.without;
    }
    (with > 0 && without > 0).then(|| pairs / (with as f64 * without as f64))
}

/// Average precision of one label, from `(score, has the label)` of each photo: Σ (recallₖ − recallₖ₋₁) · precisionₖ over the
/// different scores from the highest down, without interpolation. `None` if no photo has the label; scikit-learn's
/// `average_precision_score`, to which it is equal otherwise, gives 0 then.
pub fn average_precision(photos: &[(f64, bool)]) -> Option<f64> {
    let (mut with, mut all, mut sum) = (0u64, 0u64, 0.0);
    for group in groups(photos) {
        with += group.with;
        all += group.with + group.without;
        sum += group.with as f64 * with as f64 / all as f64;
    }
    (with > 0).then(|| sum / with as f64)
}

/// Photos of one score.
#[derive(Default)]
struct Group {
    with: u64,
    without: u64,
}

/// The photos by score, the highest first.
fn groups(photos: &[(f64, bool)]) -> Vec<Group> {
    let mut sorted = photos.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    sorted
        .chunk_by(|a, b| a.0 == b.0)
        .map(|chunk| {
            let with = chunk.iter().filter(|(_, has)| *has).count() as u64;
            Group {
                with,
                without: chunk.len() as u64 - with,
            }
        })
        .collect()
}
