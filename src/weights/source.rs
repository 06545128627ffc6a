//! From a source's name to a file.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The backbone's file in a folder.
pub const MODEL: &str = "model.safetensors";

/// The backbone's name and input in a folder, in timm's form.
pub const CONFIG: &str = "config.json";

/// The heads' file in a folder.
pub const HEADS: &str = "heads.safetensors";

/// The model of a run's best epoch, in its folder.
pub(crate) const BEST: &str = "best.safetensors";

/// What the name of a source on the Hugging Face Hub begins with.
pub(crate) const HUB: &str = "hf://";

/// Endings of weights files.
const ENDINGS: [&str; 4] = [".safetensors", ".pth", ".pt", ".bin"];

/// Where weights are.
pub(crate) enum Place {
    /// A file, or the folder of a whole model.
    Path(PathBuf),
    /// In the program itself: their name and content.
    Program(&'static str, &'static [u8]),
}

impl Place {
    /// For messages.
    pub(crate) fn origin(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Program(name, _) => format!("{name} in the program"),
        }
    }
}

/// Where a source's weights are, fetched if they have to be. What stands in a folder goes before what travels with the program.
pub(crate) fn find(source: &str, folders: &[PathBuf]) -> Result<Place> {
    if source.starts_with(HUB) {
        return Ok(Place::Path(fetch(source)?));
    }
    let mut candidates =
        std::iter::once(PathBuf::from(source)).chain(folders.iter().map(|f| f.join(source)));
    let weights = |path: PathBuf| {
        // A whole model is its folder, and of timm's a file counts.
        if path.is_file() || path.join(HEADS).is_file() {
            Some(path)
        } else {
            weights_in(&path)
        }
    };
    if let Some(path) = candidates.find_map(weights) {
        return Ok(Place::Path(path));
    }
    if let Some((name, bytes)) = shipped().iter().find(|(name, _)| *name == source) {
        return Ok(Place::Program(name, bytes));
    }
    let files = folders.iter().flat_map(|f| weights_files(f));
    let carried = shipped().iter().map(|(name, _)| (*name).to_string());
    let mut known: Vec<String> = files.map(|(name, _)| name).chain(carried).collect();
    known.sort();
    known.dedup();
    let mut searched: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
    searched.dedup();
    // Files that are named as timm names its weights are to be had from there.
    let of_timm = source.strip_suffix(ENDINGS[0]);
    let of_timm = of_timm.filter(|name| name.contains('.') && !name.contains(['/', '\\']));
    let such_as = of_timm.map_or(String::new(), |name| format!(", such as {HUB}timm/{name}"));
    Err(Error::Invalid {
        what: "model.weights".into(),
        expected: format!(
            "a file, a folder with timm's config.json, the name of a file in {} ({}), or {HUB}organisation/name on the Hugging Face Hub{such_as}",
            searched.join(" or "),
            if known.is_empty() {
                "where there is none".into()
            } else {
                known.join(", ")
            }
        ),
        found: match of_run(Path::new(source)) {
            Some(run) => format!("`{source}`, {run}"),
            None => format!("`{source}`"),
        },
    })
}

/// The weights files in a folder and their sizes in bytes, by their names.
pub(crate) fn weights_files(folder: &Path) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.map(|e| {
        let size = std::fs::metadata(e.path()).map_or(0, |m| m.len());
        (e.file_name().to_string_lossy().into_owned(), size)
    });
    let mut files: Vec<_> = named
        .filter(|(name, _)| ENDINGS.iter().any(|e| name.ends_with(e)))
        .collect();
    files.sort();
    files
}

/// What is said of a run's folder where a model or weights are asked for.
pub(crate) fn of_run(folder: &Path) -> Option<String> {
    let best = folder.join(BEST);
    let words = format!("a run's folder; its model is {}", best.display());
    best.is_file().then_some(words)
}

/// The weights in a folder of timm's: `model.safetensors`, or else `pytorch_model.bin`. `None` if it has no `config.json` or
/// neither.
fn weights_in(folder: &Path) -> Option<PathBuf> {
    folder.join(CONFIG).is_file().then_some(())?;
    let files = [MODEL, "pytorch_model.bin"].map(|name| folder.join(name));
    files.into_iter().find(|path| path.is_file())
}

/// What travels with the program, by names.
#[cfg(feature = "shipped")]
pub(crate) fn shipped() -> &'static [(&'static str, &'static [u8])] {
    super::shipped::SHIPPED
}

#[cfg(not(feature = "shipped"))]
pub(crate) fn shipped() -> &'static [(&'static str, &'static [u8])] {
    &[]
}

#[cfg(feature = "hub")]
fn fetch(source: &str) -> Result<PathBuf> {
    crate::hub::Hub::from_env().fetch(source)
}

#[cfg(not(feature = "hub"))]
fn fetch(source: &str) -> Result<PathBuf> {
    Err(Error::Invalid {
        what: "model.weights".into(),
        expected: "a file: this program is built without the feature `hub`".into(),
        found: format!("`{source}`"),
    })
}
