//! How good predictions are: small functions over counts ([`ConfusionMatrix`]) and over probabilities ([`Probabilities`]), with
//! scikit-learn's definitions and `zero_division = 0`, put together by name in [`Metrics`].
//!
//! A number that is not defined (the area under a curve of a label that no photo has) is left out, never guessed.

mod agreement;
mod averages;
mod confusion;
mod label_sets;
mod numbers;
mod probabilities;
mod ranking;
mod summary;

pub use confusion::{ClassMetrics, ConfusionMatrix};
pub use label_sets::{LabelSet, LabelSetMetrics};
pub use numbers::{NumberMetrics, NumberPair};
pub use probabilities::Probabilities;
#[cfg(feature = "audit")]
pub(crate) use probabilities::{CALIBRATION_BINS, calibration_bin};
pub use ranking::{average_precision, roc_auc};
pub use summary::{GroupMetrics, Metric, Metrics};
pub(super) use summary::{curves, mean_of_known};

/// `part / whole`; 0 for an empty whole.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
