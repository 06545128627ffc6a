//! From which probability on a label is said of a photo that may have several.

use crate::data::dataset::Dataset;
use crate::error::{Error, Result};
use crate::eval::evaluate::label_sets;
use crate::eval::metrics::LabelSet;
use crate::model::{Logits, ModelSpec};

/// The specification with the thresholds of its heads of several labels at once tuned on photos with these logits, each label's
/// for the greatest F1 of that label. A head without photos keeps its own.
///
/// # Errors
/// [`Error::Invalid`] if no such head has labels of any of the photos; as [`score`](crate::eval::evaluate::score).
pub fn with_thresholds(
    spec: &ModelSpec,
    dataset: &Dataset,
    indices: &[usize],
    logits: &[Logits],
) -> Result<ModelSpec> {
    let sets = label_sets(&spec.taxonomy()?, dataset, indices, logits)?;
    if sets.iter().all(Vec::is_empty) {
        return Err(Error::Invalid {
            what: "the photos to tune thresholds on".into(),
            expected: "labels of a head of `kind = \"multi_label\"` on some of them".into(),
            found: "none".into(),
        });
    }
    let mut spec = spec.clone();
    for (head, sets) in spec.heads.iter_mut().zip(&sets) {
        let labels = head.num_labels();
        let Some(several) = head
            .labels
            .multi_label
            .as_mut()
            .filter(|_| !sets.is_empty())
        else {
            continue;
        };
        let column = |label: usize| -> Vec<(f64, bool)> {
            let pair = |set: &LabelSet| (set.probs[label], set.truth[label]);
            sets.iter().map(pair).collect()
        };
        let now = several.thresholds(labels);
        let found = (0..labels).zip(now);
        several.thresholds = found
            .map(|(l, now)| best_threshold(&column(l), now))
            .collect();
    }
    Ok(spec)
}

/// The threshold of a label with the greatest F1, from `(probability, has the label)` of each photo, a label being said from the
/// threshold on. Between two probabilities it is their middle. Of equally good ones `now` stays, or else that nearest to 0.5 is
/// taken; a label that no photo has keeps `now`.
fn best_threshold(photos: &[(f64, bool)], now: f64) -> f64 {
    let support = photos.iter().filter(|(_, has)| *has).count();
    let said = |least: f64| photos.iter().filter(move |(p, _)| *p >= least);
    let hits = said(now).filter(|(_, has)| *has).count();
    let f1 = |hits: usize, said: usize| 2.0 * hits as f64 / (support + said) as f64;
    if support == 0 {
        return now;
    }
    let (mut best, mut threshold) = (f1(hits, said(now).count()), now);
    let mut sorted = photos.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut hits, mut taken) = (0, 0);
    let groups: Vec<&[(f64, bool)]> = sorted.chunk_by(|a, b| a.0 == b.0).collect();
    for (i, group) in groups.iter().enumerate() {
        hits += group.iter().filter(|(_, has)| *has).count();
        taken += group.len();
        let least = group[0].0;
        let below = groups.get(i + 1).map_or(0.0, |next| next[0].0);
        let middle = 0.5 * (least + below);
        // Numbers may have none between two neighbours.
        let at = if middle > below { middle } else { least };
        // A threshold of 0 would say a label of every photo.
        if at <= 0.0 {
            continue;
        }
        let found = f1(hits, taken);
        let nearer = (at - 0.5).abs() < (threshold - 0.5).abs();
        let equal = (found - best).abs() <= 1e-12;
        if found > best + 1e-12 || equal && threshold != now && nearer {
            (best, threshold) = (found.max(best), at);
        }
    }
    threshold
}

#[cfg(test)]
mod tests {
    use super::best_threshold;
    use proptest::prelude::*;

    fn f1(photos: &[(f64, bool)], threshold: f64) -> f64 {
        let said = photos.iter().filter(|(p, _)| *p >= threshold);
        let hits = said.clone().filter(|(_, has)| *has).count();
        let support = photos.iter().filter(|(_, has)| *has).count();
        match support + said.clone().count() {
            0 => 0.0,
            both => 2.0 * hits as f64 / both as f64,
        }
    }

    #[test]
    fn a_threshold_lies_where_f1_is_greatest() {
        let photos = [(0.9, true), (0.4, true), (0.3, false), (0.1, false)];
        assert!((best_threshold(&photos, 0.5) - 0.35).abs() < 1e-12);
        // Nothing is better than what there is.
        assert_eq!(best_threshold(&[(0.9, true), (0.1, false)], 0.5), 0.5);
        assert_eq!(best_threshold(&[(0.9, false)], 0.7), 0.7);
        assert_eq!(best_threshold(&[], 0.5), 0.5);
        // All have the label, however unlikely it is held.
        assert_eq!(best_threshold(&[(0.2, true), (0.1, true)], 0.5), 0.05);
    }

    proptest! {
        #[test]
        fn no_threshold_is_better(
            photos in prop::collection::vec((0.0..=1.0f64, any::<bool>()), 0..30), other in 0.001..=1.0f64
        ) {
            let found = best_threshold(&photos, 0.5);
            prop_assert!(found > 0.0 && found <= 1.0);
            prop_assert!(f1(&photos, found) >= f1(&photos, other) - 1e-9);
        }
    }
}
