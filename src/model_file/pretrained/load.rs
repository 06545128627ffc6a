//! The tensors themselves.

use crate::backbone::Architecture;
use crate::error::{Cause, Error, Result};
use crate::model::ModelSpec;
use crate::model_file::activations::take_out;
use crate::model_file::file::ModelFile;
use crate::tensors::{KEY, Tensors};
use crate::weights::source::{Place, find};
use crate::weights::{adapt, parse, read_with_description, reshape};
use std::path::PathBuf;

/// The weights a source has for an architecture, named `backbone.…`; of a hydranet model all its tensors, those of its heads too.
///
/// `source` is a file, a folder with timm's `config.json`, the name of a file in one of `folders`, or `hf://…` (with the feature
/// `hub`, see chapter `backbones` of the guide).
///
/// ```no_run
/// use hydranet::{Architecture, pretrained};
/// let resnet18 = Architecture::from_name("resnet18")?;
/// let tensors = pretrained::load("resnet18.a1_in1k.safetensors", &["weights".into()], resnet18)?;
/// assert!(tensors.contains_key("backbone.conv1.weight"));
/// # Ok::<(), hydranet::Error>(())
/// ```
///
/// # Errors
/// [`Error::Invalid`] with the folders looked in and the files there are; [`Error::Io`] or [`Error::Checkpoint`] if it cannot be
/// had or read, or does not fit the architecture.
pub fn load(source: &str, folders: &[PathBuf], architecture: Architecture) -> Result<Tensors> {
    load_for(3, source, folders, architecture)
}

/// The same for images of so many channels: the first convolution's weights are made for them by `adapt_input_conv`.
///
/// # Errors
/// As [`load`].
pub fn load_for(
    channels: usize,
    source: &str,
    folders: &[PathBuf],
    architecture: Architecture,
) -> Result<Tensors> {
    Ok(load_described(channels, source, folders, architecture)?.0)
}

/// The same, and what a hydranet model with heads says of itself: what its tensors mean.
pub(crate) fn load_described(
    channels: usize,
    source: &str,
    folders: &[PathBuf],
    architecture: Architecture,
) -> Result<(Tensors, Option<ModelSpec>)> {
    let place = find(source, folders)?;
    match read(&place)? {
        (mut tensors, Origin::Ours(spec)) => {
            // Of another network soon, when it learns.
            take_out(&mut tensors);
            if channels != 3 {
                for (name, shape) in architecture.shapes(channels)? {
                    if let Some(tensor) = tensors.get_mut(&format!("backbone.{name}")) {
                        *tensor = reshape(tensor.clone(), &shape)?;
                    }
                }
            }
            Ok((tensors, spec.map(|s| *s)))
        }
        (mut tensors, Origin::Other) => {
            // Beside another network in one file.
            let part = architecture.entry().map_or("", |e| e.part);
            if tensors.keys().any(|name| name.starts_with(part)) {
                tensors.retain(|name, _| name.starts_with(part));
            }
            let tensors = adapt(tensors, &architecture.shapes(channels)?, &place.origin())?;
            let named = |(name, t)| (format!("backbone.{name}"), t);
            Ok((tensors.into_iter().map(named).collect(), None))
        }
    }
}

/// Whose file it is.
enum Origin {
    /// A hydranet model, with what it says of itself if it has heads.
    Ours(Option<Box<ModelSpec>>),
    /// Another program's.
    Other,
}

/// The tensors of a file, or of a model's folder, and whether it is a hydranet model.
fn read(place: &Place) -> Result<(Tensors, Origin)> {
    let (tensors, description) = match place {
        Place::Path(path) if path.is_dir() => {
            let file = ModelFile::read(path)?;
            let spec = Box::new(file.description.model);
            return Ok((file.tensors, Origin::Ours(Some(spec))));
        }
        Place::Path(path) => read_with_description(path)?,
        Place::Program(_, bytes) => parse(bytes, &place.origin())?,
    };
    let has = |prefix: &str| tensors.keys().any(|k| k.starts_with(prefix));
    let Some(text) = description.filter(|_| has("backbone.")) else {
        return Ok((tensors, Origin::Other));
    };
    if !has("heads.") && !has("joint.") {
        return Ok((tensors, Origin::Ours(None)));
    }
    let fail = |problem: String, source: Cause| Error::Checkpoint {
        origin: place.origin(),
        problem,
        source: Some(source),
    };
    // Heads whose labels are not known would be taken for whatever has their shape.
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|e| fail(format!("metadata `{KEY}` is not JSON"), e.into()))?;
    let spec: ModelSpec = serde_json::from_value(value["model"].clone()).map_err(|e| {
        fail(
            format!("metadata `{KEY}` does not say what its heads are"),
            e.into(),
        )
    })?;
    spec.validate()
        .map_err(|e| fail(format!("metadata `{KEY}` is not valid"), e.into()))?;
    Ok((tensors, Origin::Ours(Some(Box::new(spec)))))
}
