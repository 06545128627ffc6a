//! The pretrained tensors a run starts from.

use super::Config;
use crate::error::{Error, Result};
use std::path::Path;

/// The pretrained tensors a configuration names, as `backbone.…`; empty if it names none.
///
/// `model.weights` is a file, or the name of one in the folder `weights` beside the heads folder or in the working folder. It may
/// be a backbone's weights with timm's names (a classifier is left out) or a hydranet model, whose backbone is taken, and those of
/// its heads whose names are among the configuration's.
///
/// # Errors
/// [`Error::Invalid`] with the folders looked in and the files there are; [`Error::Checkpoint`] if it cannot be read.
pub fn load_weights(config: &Config, heads: &Path) -> Result<crate::checkpoint::Tensors> {
    let Some(name) = &config.model.weights else {
        return Ok(Default::default());
    };
    let beside = heads
        .parent()
        .map(|p| p.join("weights"))
        .unwrap_or_else(|| "weights".into());
    let folders = [beside, "weights".into()];
    let candidates =
        std::iter::once(std::path::PathBuf::from(name)).chain(folders.iter().map(|f| f.join(name)));
    let Some(path) = candidates.into_iter().find(|p| p.is_file()) else {
        let mut known: Vec<String> = folders
            .iter()
            .filter_map(|f| std::fs::read_dir(f).ok())
            .flatten()
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .filter(|n| n.ends_with(".safetensors"))
            .collect();
        known.sort();
        known.dedup();
        let mut searched = folders.map(|f| f.display().to_string()).to_vec();
        searched.dedup();
        return Err(Error::Invalid {
            what: "model.weights".into(),
            expected: format!(
                "a file, or the name of one in {} ({})",
                searched.join(" or "),
                if known.is_empty() {
                    "where there is none".into()
                } else {
                    known.join(", ")
                }
            ),
            found: format!("`{name}`"),
        });
    };
    let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    let (_, tensors) = crate::checkpoint::read_tensors(&bytes, &path.display().to_string())?;
    let of_model = tensors.keys().any(|k| k.starts_with("backbone."));
    let keep = |name: String| match of_model {
        true => {
            let head = name
                .strip_prefix("heads.")
                .and_then(|n| n.split('.').next());
            head.is_none_or(|h| config.model.heads.iter().any(|n| n == h))
                .then_some(name)
        }
        false => (!name.starts_with("classifier.")).then(|| format!("backbone.{name}")),
    };
    Ok(tensors
        .into_iter()
        .filter_map(|(name, t)| Some((keep(name)?, t)))
        .collect())
}
