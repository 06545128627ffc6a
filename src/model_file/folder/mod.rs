//! A model as a folder, as the Hugging Face Hub and timm have it.
//!
//! | file | is |
//! |---|---|
//! | `model.safetensors` | the backbone, with timm's names, and in the metadata whom it has seen: timm loads it as it is |
//! | `config.json` | the backbone's name and input, in timm's form |
//! | `heads.safetensors` | the heads and the whole description, see [`HeadsFile`]; the backbone's fingerprint ties the two together |
//! | `README.md` | the model card |
//!
//! [`write()`] and [`read`] lose nothing: the model read is the one written, to the last bit. The backbone is always `f32` there.
//! [`write_timm`] leaves the last two out.

mod card;
mod config;

use super::file::{ModelFile, Parts};
use super::heads::{HeadsFile, without_backbone};
use crate::error::{Error, Result};
use crate::io::recognise::not_json;
use crate::io::write_atomically;
use crate::tensors::{Tensors, to_bytes};
use crate::weights::{self, source::of_run};
use std::path::Path;

pub use crate::weights::source::{CONFIG, HEADS, MODEL};
pub use card::card;
pub use config::config;

/// The model card in a folder.
pub const CARD: &str = "README.md";

/// Writes a model as a folder for the Hugging Face Hub. `license` is the Hub's word for one (`mit`, `apache-2.0`, `other` …);
/// none: the card names none. Files of other names in the folder stay.
///
/// # Errors
/// [`Error::Io`] if it cannot be written.
pub fn write(file: &ModelFile, folder: impl AsRef<Path>, license: Option<&str>) -> Result<()> {
    let folder = folder.as_ref();
    let heads = without_backbone(file)?;
    let card = card(file, license)?;
    write_backbone(file, folder)?;
    heads.write(folder.join(HEADS))?;
    write_atomically(&folder.join(CARD), card.as_bytes())
}

/// Writes the backbone alone as a folder for timm: `timm.create_model("local-dir:DIR", pretrained=True)` gives its features.
///
/// # Errors
/// [`Error::Invalid`] if the backbone is none of timm's, [`Error::Io`] if it cannot be written.
pub fn write_timm(file: &ModelFile, folder: impl AsRef<Path>) -> Result<()> {
    let backbone = file.description.model.backbone;
    if backbone.entry().is_some() {
        return Err(Error::Invalid {
            what: "backbone of a folder for timm".into(),
            expected: "one that timm has".into(),
            found: format!("`{backbone}`, a network of another library"),
        });
    }
    write_backbone(file, folder.as_ref())
}

fn write_backbone(file: &ModelFile, folder: &Path) -> Result<()> {
    crate::io::create_folder(folder)?;
    let backbone = |(name, t): (&String, &candle_core::Tensor)| {
        Some((name.strip_prefix("backbone.")?.to_string(), t.clone()))
    };
    let tensors: Tensors = file.tensors.iter().filter_map(backbone).collect();
    let model = &file.description.model;
    let config = config(model, tensors.keys());
    write_atomically(
        &folder.join(MODEL),
        &to_bytes(&tensors, file.description.backbone_to_json()?)?,
    )?;
    write_atomically(&folder.join(CONFIG), config.as_bytes())
}

/// Reads a folder that [`write()`] wrote; with the model that was built to see that it is whole.
///
/// # Errors
/// [`Error::Io`] if a file is missing, [`Error::Checkpoint`] if one is broken, or if the backbone is not the heads'.
pub(super) fn read(folder: &Path) -> Result<(ModelFile, Parts)> {
    let heads = folder.join(HEADS);
    if !heads.is_file() {
        let problem = of_run(folder).unwrap_or_else(|| {
            format!(
                "a folder without {HEADS}; expected a whole model in the form of the Hugging Face Hub"
            )
        });
        return Err(Error::Checkpoint {
            origin: folder.display().to_string(),
            problem,
            source: None,
        });
    }
    let heads = HeadsFile::read(heads)?;
    let model = &heads.description.model;
    if let Some(name) = architecture(folder)?
        && name != model.backbone.name()
    {
        return Err(Error::Checkpoint {
            origin: folder.join(CONFIG).display().to_string(),
            problem: format!(
                "its `architecture` is {name}; that of {HEADS} is {}",
                model.backbone
            ),
            source: None,
        });
    }
    let path = folder.join(MODEL);
    let origin = path.display().to_string();
    let named = |(name, t)| (format!("backbone.{name}"), t);
    let tensors: Tensors = weights::read(&path)?.into_iter().map(named).collect();
    // The error of a backbone that is not theirs names no file.
    heads.built_on(&tensors).map_err(|e| Error::Checkpoint {
        origin,
        problem: "its tensors are not those of the heads".into(),
        source: Some(e.into()),
    })
}

/// The architecture a folder's `config.json` names, if there is such a file.
fn architecture(folder: &Path) -> Result<Option<String>> {
    let path = folder.join(CONFIG);
    if !path.exists() {
        return Ok(None);
    }
    let text = crate::io::read::text(&path, crate::io::read::SETTINGS)?;
    let fail = |problem: String| Error::Checkpoint {
        origin: path.display().to_string(),
        problem,
        source: None,
    };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| fail(not_json(text.as_bytes(), &e)))?;
    match value["architecture"].as_str() {
        Some(name) => Ok(Some(name.into())),
        None => Err(fail("expected timm's `architecture`, found none".into())),
    }
}
