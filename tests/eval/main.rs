//! Metrics, scores, decisions and calibration.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod calibrate;
mod decide;
mod metrics;
mod score;
