//! Whom the weights that a training starts from have seen already.

use crate::error::{Error, Result};
use crate::model_file::description::Description;
use crate::model_file::seen::Seen;
use crate::tensors::KEY;
use crate::weights::source::{HEADS, find};
use serde::Deserialize;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most bytes of a safetensors file's header, as the crate `safetensors` has it.
const LONGEST: u64 = 100_000_000;

/// The records of the model that `source` leads to, found as [`load`](super::load) finds it; none if it is not a model of
/// hydranet's or was never trained. For a trained one that has no record, one that says so.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; what is wrong within it, [`load`](super::load) says.
pub fn seen(source: &str, folders: &[PathBuf]) -> Result<Vec<Seen>> {
    let mut path = find(source, folders)?;
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
    let failed = |e| Error::io("read", path, e);
    let (mut file, _) = crate::io::read::open(path)?;
    let mut length = Vec::new();
    file.by_ref()
        .take(8)
        .read_to_end(&mut length)
        .map_err(failed)?;
    let Ok(length) = <[u8; 8]>::try_from(length).map(u64::from_le_bytes) else {
        return Ok(None);
    };
    if length > LONGEST {
        return Ok(None);
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(failed)?;
    let Ok(header) = serde_json::from_slice::<serde_json::Value>(&header) else {
        return Ok(None);
    };
    Ok(header["__metadata__"][KEY].as_str().map(String::from))
}
