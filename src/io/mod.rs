//! Files: read with bounds, written whole, locked, and recognised for what they are.

#[cfg(feature = "train")]
pub(crate) mod events;
#[cfg(feature = "train")]
pub(crate) mod files;
pub(crate) mod hint;
pub(crate) mod lock;
#[cfg(feature = "parquet")]
pub(crate) mod parquet;
pub(crate) mod partial;
#[cfg(feature = "train")]
pub(crate) mod png;
#[cfg(feature = "train")]
pub(crate) mod random_access;
// Without training, few kinds of files are read.
#[cfg_attr(not(feature = "train"), allow(dead_code))]
pub(crate) mod read;
pub(crate) mod recognise;
#[cfg(feature = "train")]
pub(crate) mod table;
#[cfg(feature = "train")]
pub(crate) mod typed;
pub(crate) mod wire;

/// What is said where a file in Parquet is given to a program that cannot read it, or is asked of it.
#[cfg(all(feature = "train", not(feature = "parquet")))]
pub(crate) const WITHOUT_PARQUET: &str = "this hydranet was built without the feature `parquet`, which reads and writes tables \
     in Parquet: build it with --features parquet, or use CSV";

/// Whether a file is said to be in Parquet.
#[cfg(feature = "train")]
pub(crate) fn is_parquet(path: &std::path::Path) -> bool {
    path.extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("parquet"))
}

/// Whether a file is said to be a shard in tar.
#[cfg(feature = "train")]
pub(crate) fn is_tar(path: &std::path::Path) -> bool {
    path.extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("tar"))
}

pub use partial::write_atomically;
#[cfg(feature = "train")]
pub(crate) use partial::{write_atomically_by, write_atomically_with};
