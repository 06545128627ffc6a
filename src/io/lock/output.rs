//! One process at a time that makes a file or a folder, beside which others may be at work.

use crate::error::{Error, Result};
use crate::io::partial::{folder_of, is_at};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Times that a lock is tried for whose file another process takes away when it ends.
const TRIES: usize = 100;

/// The lock files of this process, for an end at which nothing is dropped.
static HELD: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn held() -> MutexGuard<'static, Vec<PathBuf>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file or folder that nobody else makes or changes until this value is gone: a command takes it before it reads what it will
/// write, so that of two at once none is lost without a word.
///
/// The lock is the operating system's, on `.NAME.lock` beside it; it goes away with the process, however that ends, and a file
/// that stays behind a killed one means nothing and goes with the next lock.
#[derive(Debug)]
pub(crate) struct OutputLock(Option<(File, PathBuf)>);

impl OutputLock {
    /// Locks it; there need not be such a file yet. Nothing is locked where there is nothing to lose: beside a folder that is not
    /// there, and in place of a device.
    ///
    /// # Errors
    /// [`Error::Invalid`] if another process holds it, [`Error::Io`] if its folder cannot be written.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        crate::io::check_writable(path)?;
        let beside = folder_of(path);
        let is_device = path.exists() && !path.is_file() && !path.is_dir();
        let Some(name) = path.file_name().filter(|_| beside.is_dir() && !is_device) else {
            return Ok(Self(None));
        };
        let lock = beside.join(format!(".{}.lock", name.to_string_lossy()));
        let failed = |e| Error::io("write", path, e);
        for _ in 0..TRIES {
            let mut options = File::options();
            options.write(true).create(true).truncate(false);
            let file = options.open(&lock).map_err(failed)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &lock) => {
                    held().push(lock.clone());
                    return Ok(Self(Some((file, lock))));
                }
                // It was the lock of a process that has just ended.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Invalid {
                        what: path.display().to_string(),
                        expected: "a file that no other command is about to write; wait for it to end, or give another name".into(),
                        found: "one that another command is at work on".into(),
                    });
                }
                // A file system without locks.
                Err(TryLockError::Error(_)) => return Ok(Self(None)),
            }
        }
        Ok(Self(None))
    }

    /// Removes the lock files of this process, which is about to end without dropping anything.
    pub fn remove_all() {
        for path in held().drain(..) {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Locks several.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    #[cfg(feature = "cli")]
    pub(crate) fn take_all<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<Vec<Self>> {
        paths.into_iter().map(|path| Self::take(path)).collect()
    }
}

impl Drop for OutputLock {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.0 {
            let mut held = held();
            if let Some(place) = held.iter().position(|held| held == path) {
                held.swap_remove(place);
                // While it is locked: who comes after finds that the file has lost its name, and takes a new one.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}
