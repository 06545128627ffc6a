//! Files: read with bounds, written whole, locked, and recognised for what they are.

#[cfg(feature = "train")]
pub(crate) mod events;
#[cfg(feature = "train")]
pub(crate) mod files;
pub(crate) mod hint;
pub(crate) mod lock;
pub(crate) mod partial;
#[cfg(feature = "train")]
pub(crate) mod png;
// Without training, few kinds of files are read.
#[cfg_attr(not(feature = "train"), allow(dead_code))]
pub(crate) mod read;
pub(crate) mod recognise;
#[cfg(feature = "train")]
pub(crate) mod table;
pub(crate) mod wire;

pub use partial::write_atomically;
#[cfg(feature = "train")]
pub(crate) use partial::{write_atomically_by, write_atomically_with};
