//! A model file in memory, from bytes and to bytes.

use super::activations::{in_eight_bits, take_out};
use super::description::{Description, FORMAT};
use super::dtype::WeightDType;
use crate::backbone::Architecture;
use crate::error::{Cause, Error, Remedy, Result};
use crate::io::write_atomically;
use crate::model::MultiTaskModel;
use crate::model::novelty::{NOVELTY, Novelty};
use crate::tensors::{KEY, Source, Tensors, read_tensors, serialize};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::path::Path;

/// The model, and what tells the novelty of a photo, if there is such.
pub(crate) type Parts = (MultiTaskModel, Option<Novelty>);

/// What is said of a description that does not hold.
const INVALID: &str = "what it says of itself is not valid";

/// A model file in memory.
///
/// ```no_run
/// use hydranet::{ModelFile, Predictor, WeightDType};
/// let file = ModelFile::read("best.safetensors")?;
/// println!("{} classes", file.description.classes.len());
/// let small = file.with_dtype(WeightDType::F16)?;
/// small.write("small.safetensors")?;
/// let predictor = Predictor::new(&small)?;
/// # Ok::<(), hydranet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// What it is.
    pub description: Description,
    /// Its tensors.
    pub tensors: Tensors,
}

impl ModelFile {
    /// The same model with its backbone's weights kept in `dtype`, and rounded to it. One that computes in eight bits stays so
    /// with [`WeightDType::Int8`] only.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming a tensor whose values it cannot hold.
    pub fn with_dtype(&self, dtype: WeightDType) -> Result<Self> {
        let mut description = self.description.clone();
        description.dtype = dtype;
        let mut tensors = dtype.rounded(&self.tensors)?;
        if dtype != WeightDType::Int8 {
            description.activations = None;
            take_out(&mut tensors);
        }
        Ok(Self {
            description,
            tensors,
        })
    }

    /// Reads bytes; `origin` names them in errors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if they are not a whole hydranet model.
    pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Self> {
        Ok(Self::built(bytes, origin)?.0)
    }

    /// As [`from_bytes`](Self::from_bytes), with the model that was built to see that it is whole.
    pub(crate) fn built(bytes: &[u8], origin: &str) -> Result<(Self, Parts)> {
        let (description, tensors) = read_described(bytes, origin, "model")?;
        let file = Self {
            description,
            tensors,
        };
        let parts = file.parts(origin)?;
        Ok((file, parts))
    }

    /// The file's bytes; equal models give equal bytes.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let stored = self.description.dtype.stored(&self.tensors)?;
        serialize(&stored, Some(self.description.to_json()?))
    }

    /// Writes the file: to a sibling first, then renamed.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), &self.to_bytes()?)
    }

    /// The model over this file's tensors: constants, without gradients.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] listing missing, unexpected and mis-shaped tensors.
    pub fn build(&self) -> Result<MultiTaskModel> {
        Ok(self.parts("the model")?.0)
    }

    /// Its parts, built over its tensors.
    pub(crate) fn parts(&self, origin: &str) -> Result<Parts> {
        let source = Source::new(self.tensors.clone());
        let vb = VarBuilder::from_backend(Box::new(source.clone()), DType::F32, Device::Cpu);
        let spec = &self.description.model;
        let model = MultiTaskModel::new(spec, 0.0, &vb)?;
        let width = spec.backbone.num_features();
        let activations = self.description.activations.as_ref();
        let scales = activations.map(|a| a.tensors(&vb)).transpose()?;
        let novelty = self.description.novelty;
        let novelty = novelty.map(|n| Novelty::new(&n, width, &vb.pp(NOVELTY)));
        let novelty = novelty.transpose()?;
        source.check(origin)?;
        novelty.iter().try_for_each(|n| n.check(origin))?;
        let model = match (activations, &scales) {
            (Some(activations), Some(scales)) if !activations.maps.is_empty() => {
                let scales = activations.scales(scales, origin)?;
                in_eight_bits(model, self, scales, origin)?
            }
            _ => model,
        };
        Ok((model, novelty))
    }
}

/// The description and the tensors of a file of hydranet's of this kind; `origin` names it in errors.
pub(crate) fn read_described(
    bytes: &[u8],
    origin: &str,
    kind: &str,
) -> Result<(Description, Tensors)> {
    let fail = |problem: String| Error::Checkpoint {
        origin: origin.into(),
        problem,
        source: None,
    };
    let because = |problem: String, source: Cause| Error::Checkpoint {
        origin: origin.into(),
        problem,
        source: Some(source),
    };
    let (metadata, tensors) = read_tensors(bytes, origin)?;
    let Some(text) = metadata.get(KEY) else {
        return Err(fail(format!(
            "a safetensors file, but not a hydranet model: its metadata has no key `{KEY}`; its tensors are {}",
            few(tensors.keys())
        )));
    };
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|e| because(format!("metadata `{KEY}` is not JSON"), e.into()))?;
    match (value["kind"].as_str(), value["format"].as_u64()) {
        (Some(found), Some(f)) if found == kind && f == u64::from(FORMAT) => {}
        (Some(found), Some(f)) if found == kind => {
            return Err(fail(format!(
                "{kind} format {f}; this version of hydranet reads format {FORMAT}"
            )));
        }
        (Some("heads"), _) if kind != "heads" => {
            return Err(Error::Refused {
                what: origin.into(),
                expected: "a whole model".into(),
                found: "heads without their backbone; they must be attached to it first".into(),
                remedy: Remedy::AttachHeads,
            });
        }
        (Some("model"), _) if kind != "model" => {
            return Err(Error::Refused {
                what: origin.into(),
                expected: "heads without their backbone".into(),
                found: "a whole model; they must be taken out of it first".into(),
                remedy: Remedy::ExtractHeads,
            });
        }
        (Some("backbone"), _) => {
            return Err(fail("these are the weights of a backbone without heads; give them as the model's `weights` and train".into()));
        }
        _ => {
            return Err(fail(format!(
                "metadata has no `kind` \"{kind}\" with a `format`"
            )));
        }
    }
    if let Some(name) = value["model"]["backbone"].as_str()
        && Architecture::from_name(name).is_err()
    {
        return Err(fail(format!(
            "its backbone is `{name}`, which this program does not know: a network of one's own has to be registered under this name before the file is read (hydranet::adapter::register), one of candle-transformers needs the feature `transformers`, one of a later version of hydranet that version"
        )));
    }
    let description: Description = serde_json::from_value(value)
        .map_err(|e| because(format!("metadata `{KEY}` is not a description"), e.into()))?;
    description
        .model
        .validate()
        .map_err(|e| because(INVALID.into(), e.into()))?;
    let activations = description.activations.as_ref();
    let activations = activations.map_or(Ok(()), |a| a.validate(description.dtype));
    activations.map_err(|e| because(INVALID.into(), e.into()))?;
    let novelty = description.novelty.map_or(Ok(()), |n| n.validate());
    novelty.map_err(|e| because(INVALID.into(), e.into()))?;
    let taxonomy = description.model.taxonomy()?;
    let has_joint = description.model.joint.is_some();
    description
        .decision
        .validate(&taxonomy, has_joint)
        .map_err(|e| because(INVALID.into(), e.into()))?;
    let classes = taxonomy.class_names();
    if description.classes != classes {
        return Err(fail(format!(
            "its `classes` are not those of its heads; expected {}, found {}",
            few(classes.iter()),
            few(description.classes.iter())
        )));
    }
    Ok((description, tensors))
}

fn few<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&String> = names.collect();
    let shown: Vec<&str> = names.iter().take(6).map(|n| n.as_str()).collect();
    match names.len() {
        0 => "none".into(),
        n if n > 6 => format!("{} and {} more", shown.join(", "), n - 6),
        _ => shown.join(", "),
    }
}
