//! Photos, and damaged input of every kind.

mod photos;
mod photos_hostile;
mod pngs;
