//! A model from where it lies: a file, or a folder as the Hub has it.

use super::file::{ModelFile, Parts};
use super::folder;
use crate::error::{Error, Result};
use crate::io::read::{WEIGHTS, bytes, open_within};
use hydranet_kernels::map_file;
use std::path::Path;

impl ModelFile {
    /// Reads a file, or a folder that `hydranet export --hugging-face` wrote.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Checkpoint`] if it is not a whole hydranet model.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::open(path.as_ref(), false)?.0)
    }

    /// Reads a file without a second copy of it in memory: it is mapped, and each tensor taken out of the system's file cache.
    /// Only for files that nobody writes in place meanwhile; hydranet never does.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_mapped(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::open(path.as_ref(), true)?.0)
    }

    /// A file, mapped or read, or a folder, with the model that was built to see that it is whole.
    pub(crate) fn open(path: &Path, mapped: bool) -> Result<(Self, Parts)> {
        if path.is_dir() {
            return folder::read(path);
        }
        let origin = path.display().to_string();
        if !mapped {
            return Self::built(&bytes(path, WEIGHTS)?, &origin);
        }
        let (file, _) = open_within(path, WEIGHTS)?;
        let bytes = map_file(&file).map_err(|e| Error::io("read", path, e))?;
        Self::built(&bytes, &origin)
    }
}
