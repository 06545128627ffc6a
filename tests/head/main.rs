//! Labels, final classes, heads and their losses.
#![cfg(feature = "cli")]

#[path = "../common/runs.rs"]
mod runs;

mod combine;
mod head;
mod loss_kinds;
mod losses;
mod ordered;
mod taxonomy;
