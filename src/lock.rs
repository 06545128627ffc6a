//! One process at a time in a folder that is written to.

use crate::error::{Error, Result};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

/// The name of the file whose lock is the folder's.
const NAME: &str = ".lock";

/// A folder that nobody else writes to until this value, with its clones, is gone.
///
/// The lock is the operating system's, on the file `.lock` in the folder: it goes away with the process, however that ends, and the
/// file that stays means nothing.
#[derive(Clone, Debug)]
pub struct FolderLock {
    _file: Arc<File>,
}

impl FolderLock {
    /// Creates the folder if need be, locks it, and removes the halves of files that a process left which was killed while it wrote.
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
            Ok(()) => remove_partial(folder)?,
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Invalid {
                    what: format!("the folder {}", folder.display()),
                    expected: "one that no other run writes to; wait for it to end, or give another folder".into(),
                    found: "another run that is at work in it".into(),
                });
            }
            // A file system without locks: nothing can be told, and nothing is removed.
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path, e)),
        }
        Ok(Self {
            _file: Arc::new(file),
        })
    }
}

/// Removes what [`write_atomically`](crate::write_atomically) did not finish in a folder whose lock is held.
fn remove_partial(folder: &Path) -> Result<()> {
    let failed = |e| Error::io("read", folder, e);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_file = entry.file_type().is_ok_and(|t| t.is_file());
        if is_file && is_partial(&entry.file_name().to_string_lossy()) {
            let path = entry.path();
            std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
    }
    Ok(())
}

/// Whether this is a name that [`write_atomically`](crate::write_atomically) gives: `NAME.PROCESS-COUNT.partial`.
fn is_partial(name: &str) -> bool {
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let middle = name
        .strip_suffix(".partial")
        .and_then(|n| n.rsplit_once('.'));
    let numbers = middle.and_then(|(_, n)| n.split_once('-'));
    numbers.is_some_and(|(process, count)| digits(process) && digits(count))
}
