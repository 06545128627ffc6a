//! Photos, and damaged input of every kind.

mod formats;
mod photos;
mod photos_hostile;
mod pngs;
mod reduced;
