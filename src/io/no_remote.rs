//! In place of stores and servers, which this program was built without.

use crate::error::{Error, Result};
use crate::io::WITHOUT_REMOTE;
use std::path::{Path, PathBuf};

fn refused<T>(path: &Path) -> Result<T> {
    let reason = std::io::Error::new(std::io::ErrorKind::Unsupported, WITHOUT_REMOTE);
    Err(Error::io("read", path, reason))
}

/// Says what is missing.
///
/// # Errors
/// [`Error::Io`] always.
pub(crate) fn bytes(path: &Path, _: u64) -> Result<Vec<u8>> {
    refused(path)
}

/// Says what is missing.
///
/// # Errors
/// [`Error::Io`] always.
#[cfg(feature = "train")]
pub(crate) fn open(path: &Path) -> Result<Box<dyn super::random_access::ReadAt>> {
    refused(path)
}

/// Says what is missing.
///
/// # Errors
/// [`Error::Io`] always.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    refused(folder)
}

/// There is none.
pub(crate) enum Fetch {}

impl Fetch {
    /// Says what is missing.
    ///
    /// # Errors
    /// [`Error::Io`] always.
    pub(crate) fn begin(path: &Path) -> Result<Self> {
        refused(path)
    }

    pub(crate) fn size(&self) -> u64 {
        match *self {}
    }

    /// There is nothing to read.
    ///
    /// # Errors
    /// None.
    pub(crate) fn read(self) -> Result<Vec<u8>> {
        match self {}
    }
}
