//! One process at a time in a folder that is written to.

use super::partial::{is_partial, remove_left};
use crate::error::{Error, Result};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

#[cfg(any(feature = "train", feature = "hub"))]
mod output;

#[cfg(any(feature = "train", feature = "hub"))]
pub(crate) use output::OutputLock;

/// The name of the file whose lock is the folder's.
const NAME: &str = ".lock";
/// The name of that whose lock is waited for.
#[cfg(feature = "train")]
const TURN: &str = ".turn.lock";

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
        Self::locked(folder, File::try_lock)
    }

    /// As [`take`](Self::take), of a folder in which several processes work at once, each at something of its own: any number of
    /// them may have it so, and none that takes it alone.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    #[cfg(feature = "train")]
    pub(crate) fn share(folder: &Path) -> Result<Self> {
        Self::locked(folder, File::try_lock_shared)
    }

    /// Waits until it is this process's turn to write what all that [`share`](Self::share) the folder write in common.
    ///
    /// # Errors
    /// [`Error::Io`] if the file of the lock cannot be written.
    #[cfg(feature = "train")]
    pub(crate) fn wait(folder: &Path) -> Result<Self> {
        let file = open(&folder.join(TURN))?;
        // An error: a file system without locks.
        let _ = file.lock();
        Ok(Self {
            _file: Arc::new(file),
        })
    }

    fn locked(
        folder: &Path,
        lock: impl Fn(&File) -> std::result::Result<(), TryLockError>,
    ) -> Result<Self> {
        crate::io::check_writable(folder)?;
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let file = open(&folder.join(NAME))?;
        match lock(&file) {
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

fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    // A network's file system wants a file that is read to share its lock.
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    file.map_err(|e| Error::io("write", path, e))
}
