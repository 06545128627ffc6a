//! How good a model is: metrics, scores, decisions compared, calibration fitted.

pub mod calibrate;
pub mod cost;
pub mod decide;
pub(crate) mod eight_bits;
pub mod evaluate;
pub mod metrics;
pub mod predictions;
#[cfg(feature = "audit")]
pub(crate) mod read_predictions;
pub mod score;
#[cfg(feature = "cli")]
pub(crate) mod shards;

#[cfg(all(test, feature = "cli"))]
#[path = "../../tests/eval/mod.rs"]
mod tests;
