//! Which file a path leads to: a photo is its file, not the spelling of its path.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Folders that were followed to where they are.
#[derive(Default)]
pub(super) struct Files(HashMap<PathBuf, PathBuf>);

impl Files {
    /// The same for every path that leads to the same file, through `..`, links and doubled separators. A folder is followed once,
    /// however many files of it are asked for. What is not there is its own spelling, taken apart and put together.
    pub(super) fn file(&mut self, path: &Path) -> PathBuf {
        let spelt = || path.components().collect();
        if std::fs::read_link(path).is_ok() {
            return path.canonicalize().unwrap_or_else(|_| spelt());
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return spelt();
        };
        if let Some(found) = self.0.get(folder) {
            return found.join(name);
        }
        let found = match folder.as_os_str().is_empty() {
            true => Path::new(".").canonicalize(),
            false => folder.canonicalize(),
        };
        let found = found.unwrap_or_else(|_| folder.components().collect());
        let file = found.join(name);
        self.0.insert(folder.into(), found);
        file
    }
}
