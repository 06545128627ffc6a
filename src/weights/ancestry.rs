//! Whom the weights that a training starts from have seen already.

use super::source;
use crate::checkpoint::{Description, KEY, Seen};
use crate::error::{Error, Result};
use crate::export::folder;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most bytes of a safetensors file's header, as the crate `safetensors` has it.
const LONGEST: u64 = 100_000_000;

/// The records of the model that `source` leads to, found as [`load`](super::load) finds it; none if it is not a model of hydranet's or
/// was never trained. For a trained one that has no record, one that says so.
///
/// # Errors
/// [`Error::Io`] if it cannot be read; what is wrong within it, [`load`](super::load) says.
pub fn seen(source: &str, folders: &[PathBuf]) -> Result<Vec<Seen>> {
    let mut path = source::find(source, folders)?;
    if path.is_dir() {
        path = path.join(folder::HEADS);
    }
    match described(&path)? {
        None => return Ok(Vec::new()),
        Some(Described::Whole(description)) => return Ok(Seen::of(&description)),
        Some(Described::Unclear) => {}
    }
    Ok(vec![Seen {
        incomplete: true,
        ..Seen::default()
    }])
}

/// What a file of hydranet's says of itself.
enum Described {
    Whole(Box<Description>),
    /// A description that this version does not understand.
    Unclear,
}

/// What a safetensors file says about itself, if it is one of hydranet's; its tensors are not read.
fn described(path: &Path) -> Result<Option<Described>> {
    let failed = |e| Error::io("read", path, e);
    let (mut file, _) = crate::read::open(path)?;
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
    let Some(text) = header["__metadata__"][KEY].as_str() else {
        return Ok(None);
    };
    if let Ok(description) = serde_json::from_str(text) {
        return Ok(Some(Described::Whole(description)));
    }
    // The files that are shipped are backbones that nobody was trained on here.
    let kind = serde_json::from_str::<serde_json::Value>(text).map(|v| v["kind"] == "backbone");
    Ok((!kind.unwrap_or(false)).then_some(Described::Unclear))
}
