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
#[cfg_attr(not(feature = "remote"), path = "no_remote.rs")]
#[cfg_attr(not(feature = "image"), allow(dead_code))]
pub(crate) mod remote;
#[cfg(feature = "train")]
pub(crate) mod table;
#[cfg(feature = "train")]
pub(crate) mod typed;
pub(crate) mod wire;

/// What is said where a file in Parquet is given to a program that cannot read it, or is asked of it.
#[cfg(all(feature = "train", not(feature = "parquet")))]
pub(crate) const WITHOUT_PARQUET: &str = "this hydranet was built without the feature `parquet`, which reads and writes tables \
     in Parquet: build it with --features parquet, or use CSV";

/// What is said where something at a URL is given to a program that cannot read it.
#[cfg(not(feature = "remote"))]
pub(crate) const WITHOUT_REMOTE: &str = "this hydranet was built without the feature `remote`, which reads at s3://, gs://, \
     http:// and https://: build it with --features remote, or download it first";

/// Refuses to write to a store or server, before anything is made for it.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    if !location::is_remote(path) {
        return Ok(());
    }
    let reason = "results are written to files of this machine only; write there, and copy them to the store";
    let reason = std::io::Error::new(std::io::ErrorKind::Unsupported, reason);
    Err(Error::io("write", path, reason))
}

/// Makes a folder, and those above it.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if it cannot be made.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    check_writable(path)?;
    std::fs::create_dir_all(path).map_err(|e| Error::io("create", path, e))
}

/// Whether a file is said to be in Parquet.
#[cfg(feature = "train")]
pub(crate) fn is_parquet(path: &Path) -> bool {
    location::without_query(path)
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("parquet"))
}

/// Whether a file is said to be a shard in tar.
#[cfg(feature = "train")]
pub(crate) fn is_tar(path: &Path) -> bool {
    location::without_query(path)
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("tar"))
}

use crate::error::{Error, Result};
use crate::location;
pub use partial::write_atomically;
#[cfg(feature = "train")]
pub(crate) use partial::{write_atomically_by, write_atomically_with};
use std::path::Path;
