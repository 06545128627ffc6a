//! How good a model is: metrics, scores, decisions compared, calibration fitted.

pub mod calibrate;
pub mod cost;
pub mod decide;
pub mod evaluate;
pub mod metrics;
pub mod predictions;
pub mod score;
