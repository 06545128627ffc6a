//! Whom the weights that a training starts from have seen already.

use crate::error::{Error, Result};
use crate::model_file::description::Description;
use crate::model_file::seen::Seen;
use crate::tensors::KEY;
use crate::weights::source::{HEADS, Place, find};
use hydranet_kernels::map_file;
use safetensors::SafeTensors;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The records of the model that `source` leads to, found as [`load`](super::load) finds it; none if it is not a model of
/// hydranet's or was never trained. For a trained one that has no record, one that says so.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; what is wrong within it, [`load`](super::load) says.
pub fn seen(source: &str, folders: &[PathBuf]) -> Result<Vec<Seen>> {
    let mut path = match find(source, folders)? {
        Place::Path(path) => path,
        // It has learnt from nobody's own photos.
        Place::Program(..) => return Ok(Vec::new()),
    };
    if path.is_dir() {
        path = path.join(HEADS);
    }
    let Some(text) = description(&path)? else {
        return Ok(Vec::new());
    };
    if let Ok(description) = serde_json::from_str::<Description>(&text) {
        return Ok(description.records());
    }
    // Backbones that are shipped have learnt from nobody's own photos, those that were exported say from whose.
    match serde_json::from_str(&text) {
        Ok(Backbone { kind, seen }) if kind == "backbone" => Ok(seen),
        _ => Ok(vec![Seen {
            incomplete: true,
            ..Seen::default()
        }]),
    }
}

/// What a file of a backbone alone says of itself, of which more does not matter here.
#[derive(Deserialize)]
struct Backbone {
    kind: String,
    #[serde(default)]
    seen: Vec<Seen>,
}

/// What a safetensors file says about itself, if it is one of hydranet's; its tensors are not read.
fn description(path: &Path) -> Result<Option<String>> {
    let (file, _) = crate::io::read::open(path)?;
    let bytes = map_file(&file).map_err(|e| Error::io("read", path, e))?;
    let found = SafeTensors::read_metadata(&bytes).ok();
    Ok(found.and_then(|(_, found)| found.metadata().as_ref()?.get(KEY).cloned()))
}
