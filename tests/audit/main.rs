//! Audits of labels, the health of a data set, and their pages.
#![cfg(feature = "cli")]

#[path = "../common/golden.rs"]
mod golden;
#[path = "../common/runs.rs"]
mod runs;

mod audit;
mod health;
mod noise;
mod page;
