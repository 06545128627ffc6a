//! Audits of labels, the health of a data set, and their pages.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod audit;
mod health;
mod noise;
mod page;
