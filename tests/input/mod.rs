//! Photos, and damaged input of every kind.

#[path = "../common/mod.rs"]
mod common;

mod photos;
mod photos_hostile;
mod pngs;
