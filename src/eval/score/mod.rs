//! Scores of a model on a set of photos: per head, for the final class, and which head the final class's errors come from.

mod all;
mod coverage;
mod errors;
mod levels;
mod sets;
mod table;
mod written;

use super::metrics::{
    ClassMetrics, ConfusionMatrix, LabelSet, Metric, Metrics, NumberMetrics, NumberPair,
    Probabilities, curves, mean_of_known,
};
use crate::error::{Error, Result};
use crate::model::combine::joint_log_probs;
use crate::taxonomy::Taxonomy;
pub use all::AllMetrics;
#[cfg(feature = "audit")]
pub(crate) use coverage::accuracies;
pub use coverage::{Coverage, CoverageTable};
pub(crate) use coverage::{Sure, sure};
pub use errors::ErrorSources;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
pub(crate) use table::shortened;

/// Above this many classes a report leaves out the confusion matrix and what is measured on the final class's probabilities.
pub const MAX_CONFUSION: usize = 1_000;

/// One photo's truth and prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The true label of each head; `None` where it is not known, and of heads of several labels at once.
    pub truth: Vec<Option<usize>>,
    /// The predicted label of each head.
    pub predicted: Vec<usize>,
    /// The predicted final class. Given apart, because a decision rule may choose another one than the heads' labels make.
    pub class: usize,
    /// The probability of each label of each head; no list at all where they are not known.
    pub probs: Vec<Vec<f64>>,
    /// The probability of each final class; empty: the product of the heads'.
    pub class_probs: Vec<f64>,
    /// Of each head that predicts a number, the number and what is said of it; no list where there is no such head.
    pub numbers: Vec<Option<NumberPair>>,
    /// Of each head of several labels at once, those it has and what is said of them; no list where there is no such head.
    pub sets: Vec<Option<LabelSet>>,
    /// Of each head the place of the group that is known where the label is not, in the order of the groups' names; no list where
    /// there is none.
    pub groups: Vec<Option<usize>>,
}

/// What a model scores on a set of photos.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreReport {
    /// Photos given.
    pub photos: u64,
    /// Each head's scores on the photos that have its label, in the taxonomy's order.
    pub heads: Vec<NamedScore>,
    /// The final class's scores on the photos that have every head's label.
    pub class: NamedScore,
    /// Where the final class's errors come from.
    pub errors: ErrorSources,
}

/// The scores of one head, or of the final class. Without photos nothing was measured: then its figures are 0 here, and absent
/// where it is written and from [`get`](Self::get).
#[derive(Clone, Debug, PartialEq)]
pub struct NamedScore {
    /// The head's name, or "class".
    pub name: String,
    /// Photos scored: those whose truth is known.
    pub photos: u64,
    /// Share predicted right, of several labels at once all of them; 0 without photos.
    pub accuracy: f64,
    /// Mean F1 over all declared labels, a missing one counting as 0.
    pub macro_f1: f64,
    /// Everything else that is measured.
    pub more: Metrics,
    /// One row a label, in order.
    pub labels: Vec<LabelScore>,
    /// Counts, row = truth, column = prediction. Not serialised above [`MAX_CONFUSION`] labels; of a head of several labels at
    /// once over no classes, and not serialised.
    pub confusion: ConfusionMatrix,
    /// Of a head with groups of labels the scores of the groups, level by level from the outermost on, each on the photos whose
    /// group is known; none where the probabilities are not known.
    pub levels: Vec<NamedScore>,
}

/// The scores of one label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelScore {
    /// The label's or the class's name.
    pub label: String,
    /// Precision, recall, F1 and counts.
    #[serde(flatten)]
    pub metrics: ClassMetrics,
    /// Area under the ROC curve of this label against the rest; `None` unless some photos have it and some have not, or if the
    /// probabilities are not known.
    pub roc_auc: Option<f64>,
    /// Average precision of this label against the rest; `None` if no photo has it, or if the probabilities are not known.
    pub average_precision: Option<f64>,
}

impl ScoreReport {
    /// Scores `photos`. Photos without some head's label count for the other heads, but not for the final class; photos that a
    /// head does not apply to do not count for it. `ordered` are the
    /// places of the heads whose labels have an order: they alone get a quadratic kappa and a mean absolute error. What is
    /// measured on probabilities is left out where a photo comes without.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a photo has not one truth and one prediction a head, or probabilities or sets of labels that are
    /// none of its heads', [`Error::OutOfRange`] if a label or class is not one of the taxonomy's; most name the photo by its
    /// place in `photos`.
    pub fn new(taxonomy: &Taxonomy, ordered: &[usize], photos: &[Scored]) -> Result<Self> {
        let names = taxonomy.heads();
        let probs = Probs::new(taxonomy, photos)?;
        let mut heads: Vec<ConfusionMatrix> = (0..names.len())
            .map(|h| ConfusionMatrix::new(taxonomy.labels(h).len()))
            .collect();
        let mut numbers: Vec<Vec<NumberPair>> = vec![Vec::new(); names.len()];
        let mut class = ConfusionMatrix::new(taxonomy.num_classes());
        let mut if_right = vec![class.clone(); names.len()];
        let mut wrong_heads: BTreeMap<Vec<usize>, u64> = BTreeMap::new();

        for (place, photo) in photos.iter().enumerate() {
            check(taxonomy, photo, place)?;
            let truth = taxonomy.applying(&photo.truth);
            for (head, matrix) in heads.iter_mut().enumerate() {
                if let Some(truth) = truth[head] {
                    matrix.add(truth, photo.predicted[head])?;
                    numbers[head].extend(photo.numbers.get(head).copied().flatten());
                }
            }
            let Some(true_class) = taxonomy.class_of(&truth) else {
                continue;
            };
            let truth = taxonomy.decode(true_class)?;
            let labels = taxonomy.decode(photo.class)?;
            class.add(true_class, photo.class)?;
            let wrong: Vec<usize> = (0..truth.len())
                .filter(|h| truth[*h] != labels[*h])
                .collect();
            // With a head put right, one may apply that did not: then by its own label.
            let filled = labels.iter().zip(&photo.predicted);
            let filled: Vec<Option<usize>> = filled.map(|(l, own)| l.or(Some(*own))).collect();
            let parts = if_right.iter_mut().enumerate();
            for (head, matrix) in parts.filter(|(head, _)| !taxonomy.is_multi_label(*head)) {
                let mut righted = filled.clone();
                righted[head] = truth[head].or(righted[head]);
                let righted = taxonomy.class_of(&righted).unwrap_or(photo.class);
                matrix.add(true_class, righted)?;
            }
            if !wrong.is_empty() {
                *wrong_heads.entry(wrong).or_default() += 1;
            }
        }

        let errors = ErrorSources::new(names, &wrong_heads, &if_right);
        let heads = heads.into_iter().zip(names).enumerate();
        Ok(Self {
            photos: photos.len() as u64,
            heads: heads
                .map(|(h, (matrix, name))| {
                    let labels = taxonomy.labels(h);
                    if taxonomy.is_multi_label(h) {
                        let found = sets::of_head(taxonomy, photos, h);
                        return NamedScore::of_sets(name, labels, &found);
                    }
                    let (probs, ordered) = (probs.heads.get(h), ordered.contains(&h));
                    let mut score = NamedScore::new(name, labels, matrix, probs, ordered);
                    score.more = score.more.with_numbers(NumberMetrics::new(&numbers[h]));
                    if let Some(groups) = taxonomy.groups(h) {
                        let distances = levels::distances(groups, &score.confusion);
                        score.more = score.more.with_groups(distances);
                        score.levels = levels::of_head(taxonomy, photos, h)?;
                    }
                    Ok(score)
                })
                .collect::<Result<_>>()?,
            class: NamedScore::new(
                "class",
                &taxonomy.class_names(),
                class,
                probs.class.as_ref(),
                false,
            ),
            errors,
        })
    }
}

impl NamedScore {
    fn new(
        name: &str,
        labels: &[String],
        confusion: ConfusionMatrix,
        probs: Option<&Probabilities>,
        ordered: bool,
    ) -> Self {
        let curves = curves(probs);
        let [roc_auc, average_precision] = curves.each_ref().map(|all| mean_of_known(all));
        let of_label = |label: usize| curves.each_ref().map(|all| *all.get(label)?);
        let rows = labels.iter().zip(confusion.classes()).enumerate();
        Self {
            name: name.into(),
            photos: confusion.total(),
            accuracy: confusion.accuracy(),
            macro_f1: confusion.macro_f1(),
            more: Metrics {
                roc_auc,
                average_precision,
                ..Metrics::without_curves(&confusion, probs, ordered)
            },
            labels: rows
                .map(|(place, (label, metrics))| {
                    let [roc_auc, average_precision] = of_label(place);
                    LabelScore {
                        label: label.clone(),
                        metrics,
                        roc_auc,
                        average_precision,
                    }
                })
                .collect(),
            confusion,
            levels: Vec::new(),
        }
    }

    /// These scores, and behind them those of the levels of groups.
    fn with_levels(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.levels)
    }

    /// One metric; `None` where it is not defined or not known.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        let more = &self.more;
        if self.photos == 0 {
            return None;
        }
        match metric {
            Metric::Accuracy => Some(self.accuracy),
            Metric::MacroF1 => Some(self.macro_f1),
            Metric::MacroF1Present => Some(more.macro_f1_present),
            Metric::MicroF1 => Some(more.micro_f1),
            Metric::WeightedF1 => Some(more.weighted_f1),
            Metric::BalancedAccuracy => Some(more.balanced_accuracy),
            Metric::Top2 => more.top_2,
            Metric::Top3 => more.top_3,
            Metric::Top5 => more.top_5,
            Metric::RocAuc => more.roc_auc,
            Metric::AveragePrecision => more.average_precision,
            Metric::CohenKappa => more.cohen_kappa,
            Metric::QuadraticKappa => more.quadratic_kappa,
            Metric::MeanAbsoluteError => more.mean_absolute_error,
            Metric::CalibrationError => more.calibration_error,
            Metric::Brier => more.brier,
            Metric::NumberMae => more.number_mae,
            Metric::NumberR2 => more.number_r2,
            Metric::NumberCoverage => more.number_coverage,
            Metric::TreeDistance => more.tree_distance,
            Metric::MistakeDistance => more.mistake_distance,
        }
    }
}

/// The probabilities of the photos whose truth is known: of each head, and of the final class.
#[derive(Default)]
struct Probs {
    heads: Vec<Probabilities>,
    class: Option<Probabilities>,
}

impl Probs {
    /// Nothing if a photo comes without; no class if there are too many.
    fn new(taxonomy: &Taxonomy, photos: &[Scored]) -> Result<Self> {
        if photos.iter().any(|p| p.probs.is_empty()) {
            return Ok(Self::default());
        }
        let mut heads: Vec<Probabilities> = (0..taxonomy.heads().len())
            .map(|h| Probabilities::new(taxonomy.labels(h).len()))
            .collect();
        let classes = taxonomy.num_classes();
        let mut class = (classes <= MAX_CONFUSION).then(|| Probabilities::new(classes));
        for (place, photo) in photos.iter().enumerate() {
            check(taxonomy, photo, place)?;
            let truth = taxonomy.applying(&photo.truth);
            for ((head, truth), row) in heads.iter_mut().zip(&truth).zip(&photo.probs) {
                if let Some(truth) = truth {
                    head.add(*truth, row)?;
                }
            }
            let (Some(class), Some(truth)) = (&mut class, taxonomy.class_of(&truth)) else {
                continue;
            };
            if !photo.class_probs.is_empty() {
                class.add(truth, &photo.class_probs)?;
                continue;
            }
            let logs: Vec<Vec<f64>> = photo
                .probs
                .iter()
                .map(|row| row.iter().map(|p| p.ln()).collect())
                .collect();
            let joint = joint_log_probs(taxonomy, &logs)?;
            let joint: Vec<f64> = joint.into_iter().map(f64::exp).collect();
            class.add(truth, &joint)?;
        }
        Ok(Self { heads, class })
    }
}

fn check(taxonomy: &Taxonomy, photo: &Scored, place: usize) -> Result<()> {
    let names = taxonomy.heads();
    for (what, found) in [
        ("true labels", photo.truth.len()),
        ("predicted labels", photo.predicted.len()),
    ]
    .into_iter()
    .chain((!photo.probs.is_empty()).then_some(("rows of probabilities", photo.probs.len())))
    {
        if found != names.len() {
            return Err(Error::Invalid {
                what: format!("{what} of photo {place}"),
                expected: format!("one for each of {} heads", names.len()),
                found: found.to_string(),
            });
        }
    }
    let out_of_range = |what: String, limit: usize, found: usize| {
        Err(Error::OutOfRange {
            what: format!("{what} of photo {place}"),
            limit,
            found,
        })
    };
    for (head, name) in names.iter().enumerate() {
        let limit = taxonomy.labels(head).len();
        let group = photo.groups.get(head).copied().flatten();
        let groups = taxonomy.groups(head).map_or(0, |g| g.names().len());
        if let Some(group) = group.filter(|group| *group >= groups) {
            return out_of_range(format!("group of head `{name}`"), groups, group);
        }
        for found in photo.truth[head].into_iter().chain([photo.predicted[head]]) {
            if found >= limit {
                return out_of_range(format!("label of head `{name}`"), limit, found);
            }
        }
    }
    if photo.class >= taxonomy.num_classes() {
        return out_of_range("class".into(), taxonomy.num_classes(), photo.class);
    }
    Ok(())
}
