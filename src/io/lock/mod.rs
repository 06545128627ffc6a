//! One process at a time in a folder that is written to.

use super::partial::{is_partial, remove_left};
use crate::error::{Error, Result};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

#[cfg(any(feature = "cli", feature = "hub"))]
mod output;

#[cfg(any(feature = "cli", feature = "hub"))]
pub(crate) use output::OutputLock;

/// The name of the file whose lock is the folder's.
const NAME: &str = ".lock";

/// A folder that nobody else writes to until this value, with its clones, is gone.
///
/// The lock is the operating system's, on the file `.lock` in the folder: it goes away with the process, however that ends, and
/// the file that stays means nothing.
#[derive(Clone, Debug)]
pub struct FolderLock {
    _file: Arc<File>,
}

impl FolderLock {
    /// Creates the folder if need be, locks it, and removes the halves of files that a process left which was killed while it
    /// wrote.
    ///
    /// # Errors
    /// [`Error::Invalid`] if another run holds the folder, [`Error::Io`] if it cannot be created or locked.
    pub fn take(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let path = folder.join(NAME);
        let mut options = File::options();
        let file = options.write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|e| Error::io("write", &path, e))?;
        match file.try_lock() {
            Ok(()) => remove_left(folder, is_partial),
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Invalid {
                    what: format!("the folder {}", folder.display()),
                    expected: "one that no other run writes to; wait for it to end, or give another folder".into(),
                    found: "another run that is at work in it".into(),
                });
            }
            // A file system without locks: nothing can be told, and nothing is removed.
            Err(TryLockError::Error(_)) => {}
        }
        Ok(Self {
            _file: Arc::new(file),
        })
    }
}
