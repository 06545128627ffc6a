//! What `--shard` of several commands needs.

use crate::predict::{Manifest, is_text};
use crate::shard::{Work, fingerprint};
use crate::tensors::hash::{copy, hexadecimal};
use crate::{Error, ModelFile, Result, Views};
use serde_json::Value;
use std::path::Path;

/// The work that shards of a command are of; `list` names its photos in order.
pub(super) fn work(
    command: &str,
    model: String,
    list: impl IntoIterator<Item = impl AsRef<[u8]>>,
    options: Value,
) -> Work {
    let mut photos = 0;
    let counted = list.into_iter().inspect(|_| photos += 1);
    let list = fingerprint(counted);
    Work {
        command: command.into(),
        hydranet: env!("CARGO_PKG_VERSION").into(),
        model,
        photos,
        list,
        options,
    }
}

/// What tells a model, or those that the manifest of an ensemble names, from others, whatever it is called; with the views of a
/// photo that it is asked for.
pub(super) fn model_fingerprint(model: &Path, views: Option<Views>) -> Result<String> {
    let of_file = |path: &Path| -> Result<String> {
        if path.is_dir() {
            // A folder as the Hub has it: what is read of it.
            let bytes = ModelFile::read(path)?.to_bytes()?;
            return Ok(fingerprint([bytes]));
        }
        let (mut file, _) = crate::io::read::open(path)?;
        let hash = copy(&mut file, &mut std::io::sink());
        Ok(hexadecimal(hash.map_err(|e| Error::io("read", path, e))?))
    };
    let mut parts = vec![format!("{views:?}")];
    if !model.is_dir() && is_text(model)? {
        let manifest = Manifest::read(model)?;
        parts.push(format!("{:?} {:?}", manifest.average, manifest.views));
        let beside = model.parent().unwrap_or(Path::new(""));
        for member in manifest.models {
            parts.push(of_file(&beside.join(member))?);
        }
    } else {
        parts.push(of_file(model)?);
    }
    Ok(fingerprint(parts))
}
