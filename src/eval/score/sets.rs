//! The scores of a head of several labels at once.

use super::{LabelScore, NamedScore, Scored};
use crate::error::Result;
use crate::eval::metrics::{ConfusionMatrix, LabelSet, LabelSetMetrics, Metrics, mean_of_known};
use crate::taxonomy::Taxonomy;

/// What photos say of a head, where it applies to them and its labels are known.
pub(super) fn of_head(taxonomy: &Taxonomy, photos: &[Scored], head: usize) -> Vec<LabelSet> {
    let sets = photos.iter().filter_map(|photo| {
        let set = photo.sets.get(head)?.as_ref()?;
        let applies = taxonomy.applies(&photo.truth)[head] != Some(false);
        applies.then(|| set.clone())
    });
    sets.collect()
}

impl NamedScore {
    /// The accuracy is that of whole sets, the average precision the mean over the labels; there is no confusion of labels that
    /// do not exclude each other.
    ///
    /// # Errors
    /// As [`LabelSetMetrics::new`].
    pub(super) fn of_sets(name: &str, labels: &[String], photos: &[LabelSet]) -> Result<Self> {
        let found = LabelSetMetrics::new(labels.len(), photos)?;
        let rows = labels.iter().zip(&found.labels).enumerate();
        let of_label = |curve: &[Option<f64>], label: usize| curve.get(label).copied().flatten();
        Ok(Self {
            name: name.into(),
            photos: found.photos,
            accuracy: found.exact,
            macro_f1: found.macro_f1(),
            more: Metrics {
                present: found.present().count(),
                macro_f1_present: found.macro_f1_present(),
                micro_f1: found.micro_f1,
                weighted_f1: found.weighted_f1(),
                balanced_accuracy: found.recall(),
                roc_auc: mean_of_known(&found.roc_auc),
                average_precision: mean_of_known(&found.average_precision),
                ..Metrics::default()
            },
            labels: rows
                .map(|(place, (label, metrics))| LabelScore {
                    label: label.clone(),
                    metrics: *metrics,
                    roc_auc: of_label(&found.roc_auc, place),
                    average_precision: of_label(&found.average_precision, place),
                })
                .collect(),
            confusion: ConfusionMatrix::new(0),
            levels: Vec::new(),
        })
    }

    /// Whether it is of a head of several labels at once.
    pub(super) fn is_of_sets(&self) -> bool {
        self.confusion.num_classes() == 0
    }
}
