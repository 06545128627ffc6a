//! The photos below a folder, and what is passed over.

use crate::error::{Error, Result};
use crate::location::{is_remote, without_query};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Names shown of what was passed over.
const SHOWN: usize = 3;

/// The photos below a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundImages {
    /// The photos, by the ends of their names, see [`is_image_name`], sorted. A linked file counts as one; it is opened where
    /// it points to.
    pub images: Vec<PathBuf>,
    /// What else was there.
    pub passed_over: PassedOver,
}

/// What a search for photos passed over. Shown, it names it in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PassedOver {
    /// Linked folders: they might lead round in a circle.
    pub linked_folders: Vec<PathBuf>,
    /// Files and folders whose names begin with a dot.
    pub hidden: usize,
    /// What is neither file nor folder, and links to nothing.
    pub special: Vec<PathBuf>,
    /// Other files, by the ends of their names in small letters; empty: a name without an end.
    pub others: BTreeMap<String, usize>,
}

impl PassedOver {
    /// Whether nothing was passed over.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn other(&mut self, path: &Path) {
        let end = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        *self.others.entry(end.unwrap_or_default()).or_default() += 1;
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |n: usize, one: &str| match n {
            1 => format!("1 {one}"),
            _ => format!("{n} {one}s"),
        };
        let named = |what: &str, paths: &[PathBuf]| {
            let mut names: Vec<String> = paths
                .iter()
                .take(SHOWN)
                .map(|p| p.display().to_string())
                .collect();
            if paths.len() > SHOWN {
                names.push("…".into());
            }
            format!("{} ({})", counted(paths.len(), what), names.join(", "))
        };
        let mut all = Vec::new();
        if !self.linked_folders.is_empty() {
            all.push(named("linked folder", &self.linked_folders));
        }
        if self.hidden > 0 {
            all.push(match self.hidden {
                1 => "1 hidden file or folder".into(),
                n => format!("{n} hidden files or folders"),
            });
        }
        if !self.special.is_empty() {
            all.push(named("broken link or special file", &self.special));
        }
        let others: usize = self.others.values().sum();
        if others > 0 {
            let ends = self.others.iter().map(|(end, n)| match end.as_str() {
                "" => format!("without an extension {n}"),
                end => format!(".{end} {n}"),
            });
            let ends: Vec<String> = ends.collect();
            let that = if others == 1 { "that is" } else { "that are" };
            all.push(format!(
                "{} {that} no photo by name ({})",
                counted(others, "file"),
                ends.join(", ")
            ));
        }
        f.write_str(&all.join(", "))
    }
}

/// The photos below `folder`, here or in a store (see the feature `remote`), by the ends of their names, sorted, and what was passed over: hidden files and folders,
/// linked folders, other files.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be listed.
pub fn find_images(folder: impl AsRef<Path>) -> Result<FoundImages> {
    if is_remote(folder.as_ref()) {
        return find_remote(folder.as_ref());
    }
    let mut found = FoundImages::default();
    let passed = &mut found.passed_over;
    let mut folders = vec![folder.as_ref().to_path_buf()];
    while let Some(folder) = folders.pop() {
        let failed = |e| Error::io("list", &folder, e);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                passed.hidden += 1;
                continue;
            }
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            // Of a link, what it points to.
            let target = std::fs::metadata(&path).ok();
            if kind.is_symlink() && target.as_ref().is_some_and(|t| t.is_dir()) {
                passed.linked_folders.push(path);
            } else if is_image_name(&path) {
                // One that cannot be opened is an error of that photo, not a photo less.
                found.images.push(path);
            } else if target.is_some_and(|t| t.is_file()) {
                passed.other(&path);
            } else {
                passed.special.push(path);
            }
        }
    }
    found.images.sort();
    passed.linked_folders.sort();
    passed.special.sort();
    Ok(found)
}

/// The same of a store, which has no links.
fn find_remote(folder: &Path) -> Result<FoundImages> {
    let mut found = FoundImages::default();
    for path in crate::io::remote::list(folder)? {
        let below = path.strip_prefix(folder).unwrap_or(&path);
        let mut parts = below.components();
        if parts.any(|part| part.as_os_str().to_string_lossy().starts_with('.')) {
            found.passed_over.hidden += 1;
        } else if is_image_name(&path) {
            found.images.push(path);
        } else {
            found.passed_over.other(&path);
        }
    }
    Ok(found)
}

/// Whether a file's name ends as that of a JPEG (`.jpg`, `.jpeg`, `.jpe`, `.jfif`), PNG, WebP, TIFF (`.tif`, `.tiff`), BMP or
/// GIF, in either case.
pub fn is_image_name(path: &Path) -> bool {
    let end = without_query(path).extension();
    let end = end.and_then(|e| e.to_str()).unwrap_or("");
    const ENDS: [&str; 10] = [
        "jpg", "jpeg", "jpe", "jfif", "png", "webp", "tif", "tiff", "bmp", "gif",
    ];
    ENDS.iter().any(|e| end.eq_ignore_ascii_case(e))
}
