//! Features that other workers computed, taken over.

use super::{Features, Key};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Values in memory at which what was taken over is saved.
const HELD: usize = 1 << 28;

impl Features {
    /// Takes over the rows that are kept by the same extractor in folders within this one's, each that of a worker, and saves
    /// them; gives the number of rows that are new.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`save`](Self::save).
    pub(crate) fn adopt_from(&mut self, folders: &[PathBuf]) -> Result<usize> {
        let before = self.keys.len();
        for folder in folders {
            let there = folder.join(self.extractor.file_name()?);
            if !there.is_file() {
                continue;
            }
            let other = Self::open(Some(folder), self.extractor.clone(), self.width)?;
            let views: Vec<usize> = other.views.iter().map(|v| self.view(v.clone())).collect();
            let mut row = Vec::with_capacity(self.width);
            for (place, Key(photo, view)) in other.keys.iter().enumerate() {
                let key = Key(*photo, views[*view]);
                if self.place(&key).is_some() {
                    continue;
                }
                row.clear();
                if let Some(mapped) = &other.mapped {
                    mapped.row(place, &mut row);
                }
                self.push(key, &row);
                if self.new.len() > HELD {
                    self.save()?;
                }
            }
            self.photos.extend(&other.photos);
        }
        self.save()?;
        Ok(self.keys.len() - before)
    }
}

/// The folder of a worker's own features in that of all.
pub(crate) fn folder_of_shard(cache: &Path, number: usize, of: usize) -> PathBuf {
    cache.join(format!("{number}-of-{of}"))
}

/// The folders of workers in that of all.
///
/// # Errors
/// [`Error::Io`] if it cannot be read.
pub(crate) fn shard_folders(cache: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io("read", cache, e);
    if !cache.is_dir() {
        return Ok(Vec::new());
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(cache).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let numbers = name.split_once("-of-");
        if numbers.is_some_and(|(number, of)| is_number(number) && is_number(of)) {
            found.push(path.clone());
        }
    }
    found.sort();
    Ok(found)
}
