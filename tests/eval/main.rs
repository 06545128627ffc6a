//! Metrics, scores, decisions and calibration.
#![cfg(feature = "cli")]

#[path = "../common/differences.rs"]
mod differences;
#[path = "../common/runs.rs"]
mod runs;
#[path = "../common/tiny.rs"]
mod tiny;

mod calibrate;
mod decide;
mod metrics;
mod score;
