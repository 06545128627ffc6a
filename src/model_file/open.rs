//! A model from where it lies: a file, or a folder as the Hub has it.

use super::file::ModelFile;
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
        file_or_folder(path.as_ref(), |path, origin| {
            Self::from_bytes(&bytes(path, WEIGHTS)?, origin)
        })
    }

    /// Reads a file without a second copy of it in memory: it is mapped, and each tensor taken out of the system's file cache.
    /// Only for files that nobody writes in place meanwhile; hydranet never does.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_mapped(path: impl AsRef<Path>) -> Result<Self> {
        file_or_folder(path.as_ref(), |path, origin| {
            let (file, _) = open_within(path, WEIGHTS)?;
            let bytes = map_file(&file).map_err(|e| Error::io("read", path, e))?;
            Self::from_bytes(&bytes, origin)
        })
    }
}

/// The model of a folder, or of a file by `read`, which is given its name for messages too.
fn file_or_folder(
    path: &Path,
    read: impl FnOnce(&Path, &str) -> Result<ModelFile>,
) -> Result<ModelFile> {
    if path.is_dir() {
        folder::read(path)
    } else {
        read(path, &path.display().to_string())
    }
}
