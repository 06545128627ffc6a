//! Labels, final classes, heads and their losses.
#![cfg(feature = "cli")]

#[path = "../common/mod.rs"]
mod common;

mod combine;
mod head;
mod loss_kinds;
mod losses;
mod ordered;
mod rows;
mod taxonomy;
