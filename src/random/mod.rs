//! The seeded generator and its keys, and the values a network starts from.

pub(crate) mod init;
#[cfg(feature = "train")]
pub mod rng;
