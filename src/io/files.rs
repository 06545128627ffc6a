//! Which file a path leads to: a photo is its file, not the spelling of its path.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Folders that were followed to where they are.
#[derive(Default)]
pub(crate) struct Files {
    folders: HashMap<PathBuf, PathBuf>,
    /// Of files with several names the one that was asked for first, by device and number.
    linked: HashMap<(u64, u64), PathBuf>,
}

impl Files {
    /// The same for every path that leads to the same file, through `..`, links, hard links and doubled separators. A folder is
    /// followed once, however many files of it are asked for. What is not there is its own spelling, taken apart and put
    /// together, and a URL its own.
    pub(crate) fn file(&mut self, path: &Path) -> PathBuf {
        if crate::location::is_remote(path) {
            return path.into();
        }
        let found = std::fs::symlink_metadata(path).ok();
        let is_link = found.as_ref().is_some_and(std::fs::Metadata::is_symlink);
        let file = if is_link {
            path.canonicalize()
                .unwrap_or_else(|_| path.components().collect())
        } else {
            self.in_folder(path)
        };
        let found = if is_link {
            std::fs::metadata(path).ok()
        } else {
            found
        };
        match found.as_ref().and_then(number) {
            Some(number) => self.linked.entry(number).or_insert(file).clone(),
            None => file,
        }
    }

    /// The path of a file that is no link, its folder followed.
    fn in_folder(&mut self, path: &Path) -> PathBuf {
        let spelt = || path.components().collect();
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return spelt();
        };
        if let Some(found) = self.folders.get(folder) {
            return found.join(name);
        }
        let found = if folder.as_os_str().is_empty() {
            Path::new(".").canonicalize()
        } else {
            folder.canonicalize()
        };
        let found = found.unwrap_or_else(|_| folder.components().collect());
        let file = found.join(name);
        self.folders.insert(folder.into(), found);
        file
    }
}

/// Device and number of a file that has several names.
#[cfg(unix)]
fn number(found: &std::fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    (found.is_file() && found.nlink() > 1).then(|| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn number(_: &std::fs::Metadata) -> Option<(u64, u64)> {
    None
}
