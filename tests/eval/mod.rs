//! Metrics, scores, decisions and calibration.

mod calibrate;
mod decide;
mod metrics;
mod score;
