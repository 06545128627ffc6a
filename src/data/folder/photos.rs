//! The photos below a folder, by the folders they lie in.

use crate::error::Result;
use crate::input::find_images;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A photo of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    /// Its path from the folder on, parts joined by `/`.
    pub(crate) name: String,
    /// Where it lies.
    pub(crate) path: PathBuf,
}

/// Photos by the names of the folders that lead to them.
pub(crate) type ByFolder = BTreeMap<Vec<String>, Vec<Found>>;

/// The photos below a folder.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if a folder cannot be listed.
pub(super) fn find(folder: &Path) -> Result<ByFolder> {
    let mut by_folder = ByFolder::new();
    for path in find_images(folder)?.images {
        let below = path.strip_prefix(folder).unwrap_or(&path);
        let mut parts: Vec<String> = below
            .components()
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        let name = parts.join("/");
        parts.pop();
        let found = by_folder.entry(parts).or_default();
        found.push(Found { name, path });
    }
    Ok(by_folder)
}

/// What is found in a folder without photos: nothing, or what is passed over.
pub(crate) fn instead_of_photos(folder: &Path) -> String {
    match find_images(folder) {
        Ok(found) if !found.passed_over.is_empty() => format!("none, but {}", found.passed_over),
        _ => "none".into(),
    }
}
