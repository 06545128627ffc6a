//! One writer a folder: two runs into the same one would each overwrite what the other saved.

use crate::error::{Error, Result};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

/// The file that is locked. It stays when the lock is gone: who removes it might take it from under the next one.
const FILE: &str = ".lock";

/// A folder that this process alone writes to, until the last copy is dropped. The operating system holds the lock, so that of a
/// killed process vanishes with it.
#[derive(Clone, Debug)]
pub struct FolderLock {
    _file: Arc<File>,
}

impl FolderLock {
    /// Creates the folder if need be, takes its lock, and removes what writers left unfinished that were killed.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Invalid`] if another process holds the lock.
    pub fn take(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let path = folder.join(FILE);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| Error::io("create", &path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Invalid {
                    what: format!("the folder {}", folder.display()),
                    expected: "one that nobody else writes to".into(),
                    found: "a run that is under way in it".into(),
                });
            }
            // Some network file systems have no locks: then it is as it was before there was one.
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path, e)),
        }
        remove_unfinished(folder);
        Ok(Self {
            _file: Arc::new(file),
        })
    }
}

/// Removes the siblings that [`write_atomically`](crate::write_atomically) writes before it renames them. One that cannot be removed
/// does no harm.
fn remove_unfinished(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().and_then(|n| n.strip_suffix(".partial"));
        let is_ours = is_ours
            .and_then(|n| n.rsplit_once('.'))
            .and_then(|(_, number)| number.split_once('-'))
            .is_some_and(|(process, count)| {
                [process, count]
                    .iter()
                    .all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            });
        if is_ours {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
