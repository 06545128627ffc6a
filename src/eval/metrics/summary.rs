//! All metrics of a head or of the final class, by name.

use super::{ConfusionMatrix, NumberMetrics, Probabilities};
use crate::names::named;
use serde::{Deserialize, Serialize};

/// Everything measured beyond accuracy and macro F1. `None` (`null` in JSON): not defined, or not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Metrics {
    /// Labels that some photo has.
    pub present: usize,
    /// Mean F1 over these alone.
    pub macro_f1_present: f64,
    /// F1 of all photos taken together; with one label a photo it is the accuracy.
    pub micro_f1: f64,
    /// Mean F1 over the labels, each by the photos it has.
    pub weighted_f1: f64,
    /// Mean recall over the labels that some photo has.
    pub balanced_accuracy: f64,
    /// Share of photos whose label is among the two most probable; `None` for two labels, where it is always 1.
    pub top_2: Option<f64>,
    /// Among the three most probable; `None` for three labels or fewer.
    pub top_3: Option<f64>,
    /// Among the five most probable; `None` for five labels or fewer.
    pub top_5: Option<f64>,
    /// Area under the ROC curve, one label against the rest: the mean over the labels that some photos have and some have not.
    pub roc_auc: Option<f64>,
    /// Average precision, one label against the rest: the mean over the labels that some photo has.
    pub average_precision: Option<f64>,
    /// Cohen's kappa.
    pub cohen_kappa: Option<f64>,
    /// Kappa with quadratic weights; only where the labels have an order.
    pub quadratic_kappa: Option<f64>,
    /// Mean distance in labels; only where the labels have an order.
    pub mean_absolute_error: Option<f64>,
    /// Expected calibration error over 15 equal bins.
    pub calibration_error: Option<f64>,
    /// Brier score over all labels, from 0 to 2.
    pub brier: Option<f64>,
    /// [`NumberMetrics::mean_absolute_error`]; this and the two below only of heads that predict a number, and only there
    /// written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_mae: Option<f64>,
    /// [`NumberMetrics::r2`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_r2: Option<f64>,
    /// [`NumberMetrics::coverage`], of the interval of 90 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_coverage: Option<f64>,
    /// [`GroupMetrics::tree_distance`]; this and the one below only of heads with groups of labels, and only there written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree_distance: Option<f64>,
    /// [`GroupMetrics::mistake_distance`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mistake_distance: Option<f64>,
}

/// How far apart predicted and true labels are in the tree of their groups: the height of the least group that both are in above
/// its labels, of all labels together if they share none; 1 for two of one innermost group (Bertinetto et al. 2020, "Making
/// Better Mistakes"). `None` where there are no such photos.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GroupMetrics {
    /// The mean over all photos, 0 for those that are right.
    pub tree_distance: Option<f64>,
    /// The mean over those that are wrong.
    pub mistake_distance: Option<f64>,
}

impl Metrics {
    /// From counts and, where they are known, probabilities of the same photos. `ordered`: the labels have an order.
    pub fn new(counts: &ConfusionMatrix, probs: Option<&Probabilities>, ordered: bool) -> Self {
        let [roc_aucs, precisions] = curves(probs);
        Self {
            roc_auc: mean_of_known(&roc_aucs),
            average_precision: mean_of_known(&precisions),
            ..Self::without_curves(counts, probs, ordered)
        }
    }

    /// The same but for the areas under curves, which are [`mean_of_known`] of [`curves`].
    pub(in crate::eval) fn without_curves(
        counts: &ConfusionMatrix,
        probs: Option<&Probabilities>,
        ordered: bool,
    ) -> Self {
        let top = |k: usize| probs.filter(|_| counts.num_classes() > k)?.top_k(k);
        Self {
            present: counts.present(),
            macro_f1_present: counts.macro_f1_present(),
            micro_f1: counts.micro_f1(),
            weighted_f1: counts.weighted_f1(),
            balanced_accuracy: counts.balanced_accuracy(),
            top_2: top(2),
            top_3: top(3),
            top_5: top(5),
            roc_auc: None,
            average_precision: None,
            cohen_kappa: counts.cohen_kappa(),
            quadratic_kappa: counts.quadratic_kappa().filter(|_| ordered),
            mean_absolute_error: counts.mean_absolute_error().filter(|_| ordered),
            calibration_error: probs.and_then(Probabilities::calibration_error),
            brier: probs.and_then(Probabilities::brier),
            number_mae: None,
            number_r2: None,
            number_coverage: None,
            tree_distance: None,
            mistake_distance: None,
        }
    }

    /// With what is measured of labels in groups.
    pub(in crate::eval) fn with_groups(self, groups: GroupMetrics) -> Self {
        Self {
            tree_distance: groups.tree_distance,
            mistake_distance: groups.mistake_distance,
            ..self
        }
    }

    /// With what is measured of predicted numbers.
    pub(in crate::eval) fn with_numbers(self, numbers: NumberMetrics) -> Self {
        Self {
            number_mae: numbers.mean_absolute_error,
            number_r2: numbers.r2,
            number_coverage: numbers.coverage,
            ..self
        }
    }
}

/// The area under the ROC curve and the average precision of each label; nothing without probabilities.
pub(in crate::eval) fn curves(probs: Option<&Probabilities>) -> [Vec<Option<f64>>; 2] {
    probs.map_or_else(Default::default, |p| [p.roc_aucs(), p.average_precisions()])
}

pub(in crate::eval) fn mean_of_known(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().copied().flatten().collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// The name of a metric, as in `scores.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Share predicted right.
    Accuracy,
    /// Mean F1 over all declared labels.
    MacroF1,
    /// [`Metrics::macro_f1_present`].
    MacroF1Present,
    /// [`Metrics::micro_f1`].
    MicroF1,
    /// [`Metrics::weighted_f1`].
    WeightedF1,
    /// [`Metrics::balanced_accuracy`].
    BalancedAccuracy,
    /// [`Metrics::top_2`].
    #[serde(rename = "top_2")]
    Top2,
    /// [`Metrics::top_3`].
    #[serde(rename = "top_3")]
    Top3,
    /// [`Metrics::top_5`].
    #[serde(rename = "top_5")]
    Top5,
    /// [`Metrics::roc_auc`].
    RocAuc,
    /// [`Metrics::average_precision`].
    AveragePrecision,
    /// [`Metrics::cohen_kappa`].
    CohenKappa,
    /// [`Metrics::quadratic_kappa`].
    QuadraticKappa,
    /// [`Metrics::mean_absolute_error`].
    MeanAbsoluteError,
    /// [`Metrics::calibration_error`].
    CalibrationError,
    /// [`Metrics::brier`].
    Brier,
    /// [`Metrics::number_mae`].
    NumberMae,
    /// [`Metrics::number_r2`].
    NumberR2,
    /// [`Metrics::number_coverage`].
    NumberCoverage,
    /// [`Metrics::tree_distance`].
    TreeDistance,
    /// [`Metrics::mistake_distance`].
    MistakeDistance,
}

named!(Metric, "metric", {
    Accuracy => "accuracy",
    MacroF1 => "macro_f1",
    MacroF1Present => "macro_f1_present",
    MicroF1 => "micro_f1",
    WeightedF1 => "weighted_f1",
    BalancedAccuracy => "balanced_accuracy",
    Top2 => "top_2",
    Top3 => "top_3",
    Top5 => "top_5",
    RocAuc => "roc_auc",
    AveragePrecision => "average_precision",
    CohenKappa => "cohen_kappa",
    QuadraticKappa => "quadratic_kappa",
    MeanAbsoluteError => "mean_absolute_error",
    CalibrationError => "calibration_error",
    Brier => "brier",
    NumberMae => "number_mae",
    NumberR2 => "number_r2",
    NumberCoverage => "number_coverage",
    TreeDistance => "tree_distance",
    MistakeDistance => "mistake_distance",
});

impl Metric {
    /// Whether less is better.
    pub fn is_error(self) -> bool {
        matches!(
            self,
            Self::MeanAbsoluteError
                | Self::CalibrationError
                | Self::Brier
                | Self::NumberMae
                | Self::TreeDistance
                | Self::MistakeDistance
        )
    }

    /// Whether it is only for labels in order.
    pub fn needs_order(self) -> bool {
        matches!(self, Self::QuadraticKappa | Self::MeanAbsoluteError)
    }

    /// Whether it is only for heads with groups of labels.
    pub fn needs_groups(self) -> bool {
        matches!(self, Self::TreeDistance | Self::MistakeDistance)
    }

    /// Whether it is only for heads that predict a number.
    pub fn needs_number(self) -> bool {
        matches!(
            self,
            Self::NumberMae | Self::NumberR2 | Self::NumberCoverage
        )
    }
}
