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

/// The file of a source, fetched if it has to be.
pub(crate) fn find(source: &str, folders: &[PathBuf]) -> Result<PathBuf> {
    if source.starts_with(HUB) {
        return fetch(source);
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
        return Ok(path);
    }
    let mut known: Vec<String> = folders
        .iter()
        .filter_map(|f| std::fs::read_dir(f).ok())
        .flatten()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| ENDINGS.iter().any(|e| n.ends_with(e)))
        .collect();
    known.sort();
    known.dedup();
    let mut searched: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
    searched.dedup();
    // A package from a registry has no weights with it; the names of those that are shipped are timm's.
    let shipped = source.strip_suffix(ENDINGS[0]);
    let shipped = shipped.filter(|name| name.contains('.') && !name.contains(['/', '\\']));
    let such_as = shipped.map_or(String::new(), |name| format!(", such as {HUB}timm/{name}"));
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
