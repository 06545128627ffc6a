//! Heads without their backbone.

use crate::error::{Error, Result};
use crate::io::write_atomically;
use crate::model::novelty::{NOVELTY, Novelty};
use crate::model::{Layout, ModelSpec, ask_own_stages, heads};
use crate::model_file::description::Description;
use crate::model_file::file::{ModelFile, Parts, read_described};
use crate::tensors::hash::of_tensors;
use crate::tensors::{Source, Tensors, to_bytes};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::path::Path;

/// A file with the heads of a model and no backbone, a few kB: safetensors whose description has the kind `"heads"` and says by a
/// SHA-256 which backbone they were trained on.
///
/// ```no_run
/// use hydranet::ModelFile;
/// use hydranet::heads::{HeadsFile, heads_only, merge};
/// let ours = ModelFile::read("ours.safetensors")?;
/// heads_only(&ours)?.write("to_give_away.safetensors")?;
/// let theirs = HeadsFile::read("from_somebody.safetensors")?.attach(&ours.tensors)?;
/// merge(&[ours, theirs])?.write("all.safetensors")?;
/// # Ok::<(), hydranet::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HeadsFile {
    /// As that of the model, the kind and [`backbone_sha256`](Description::backbone_sha256) apart.
    pub description: Description,
    /// `heads.…` and `joint.…`; in the folder of a model that has them also `novelty.…` and
    /// `activations.…`.
    pub tensors: Tensors,
}

/// The heads of a model file, to be given away without its backbone.
///
/// # Errors
/// If a tensor cannot be read.
pub fn heads_only(file: &ModelFile) -> Result<HeadsFile> {
    let mut heads = without_backbone(file)?;
    heads.description.dtype = Default::default();
    heads.description.novelty = None;
    heads.description.activations = None;
    let of_heads = |name: &String| name.starts_with("heads.") || name.starts_with("joint.");
    heads.tensors.retain(|name, _| of_heads(name));
    Ok(heads)
}

/// Everything in a model file but its backbone.
///
/// # Errors
/// If a tensor cannot be read.
pub(crate) fn without_backbone(file: &ModelFile) -> Result<HeadsFile> {
    let description = Description {
        kind: HEADS.into(),
        backbone_sha256: Some(backbone_sha256(&file.tensors)?),
        ..file.description.clone()
    };
    let mut tensors = file.tensors.clone();
    tensors.retain(|name, _| !name.starts_with("backbone."));
    Ok(HeadsFile {
        description,
        tensors,
    })
}

const HEADS: &str = "heads";

/// The SHA-256 of a backbone: of its tensors `backbone.…` in order of name, of each the name, a zero byte, the number of its
/// dimensions and each of them in eight bytes, and its values as `f32`, numbers little-endian.
///
/// # Errors
/// If a tensor cannot be read.
pub(crate) fn backbone_sha256(tensors: &Tensors) -> Result<String> {
    of_tensors(tensors, "backbone.")
}

impl HeadsFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Checkpoint`] if it is no whole file of heads.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = crate::io::read::bytes(path, crate::io::read::WEIGHTS)?;
        Self::from_bytes(&bytes, &path.display().to_string())
    }

    /// Reads bytes; `origin` names them in errors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if they are no whole file of heads.
    pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Self> {
        let (description, tensors) = read_described(bytes, origin, HEADS)?;
        if description.backbone_sha256.is_none() {
            return Err(Error::Checkpoint {
                origin: origin.into(),
                problem: "these heads do not say which backbone they belong to (`backbone_sha256`)"
                    .into(),
                source: None,
            });
        }
        let source = Source::new(tensors.clone());
        let vb = VarBuilder::from_backend(Box::new(source.clone()), DType::F32, Device::Cpu);
        let spec = &description.model;
        let width = spec.backbone.num_features();
        let layout = Layout::of(spec)?;
        heads(spec, &layout, &vb)?;
        ask_own_stages(spec, &layout, &vb)?;
        let activations = description.activations.as_ref();
        let scales = activations.map(|a| a.tensors(&vb)).transpose()?;
        let novelty = description.novelty;
        let novelty = novelty.map(|n| Novelty::new(&n, width, &vb.pp(NOVELTY)));
        let novelty = novelty.transpose()?;
        source.check(origin)?;
        novelty.iter().try_for_each(|n| n.check(origin))?;
        if let Some((activations, scales)) = activations.zip(scales) {
            activations.scales(&scales, origin)?;
        }
        Ok(Self {
            description,
            tensors,
        })
    }

    /// The file's bytes; equal heads give equal bytes.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        to_bytes(&self.tensors, Some(self.description.to_json()?))
    }

    /// Writes the file: to a sibling first, then renamed.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), &self.to_bytes()?)
    }

    /// The model of these heads on their backbone, whose tensors `backbone.…` are among `tensors`; others are left alone.
    ///
    /// # Errors
    /// [`Error::Invalid`] with both fingerprints if it is another backbone than they were trained on.
    pub fn attach(&self, tensors: &Tensors) -> Result<ModelFile> {
        Ok(self.built_on(tensors)?.0)
    }

    /// As [`attach`](Self::attach), with the model that was built to see that they fit.
    pub(crate) fn built_on(&self, tensors: &Tensors) -> Result<(ModelFile, Parts)> {
        let found = backbone_sha256(tensors)?;
        let expected = self.description.backbone_sha256.clone().unwrap_or_default();
        if found != expected {
            return Err(Error::Invalid {
                what: format!(
                    "the backbone of the heads {}, {}",
                    names(&self.description.model),
                    self.description.model.backbone
                ),
                expected: format!(
                    "tensors with the SHA-256 {expected}, those they were trained on"
                ),
                found: if tensors.keys().any(|n| n.starts_with("backbone.")) {
                    found
                } else {
                    "no tensor of a backbone".into()
                },
            });
        }
        let of_backbone = tensors.iter().filter(|(n, _)| n.starts_with("backbone."));
        let pairs = of_backbone.chain(&self.tensors);
        let file = ModelFile {
            description: Description {
                kind: "model".into(),
                backbone_sha256: None,
                ..self.description.clone()
            },
            tensors: pairs.map(|(n, t)| (n.clone(), t.clone())).collect(),
        };
        let parts = file.parts("the model")?;
        Ok((file, parts))
    }
}

/// The names of a model's heads, for messages.
pub(super) fn names(spec: &ModelSpec) -> String {
    let names: Vec<&str> = spec.heads.iter().map(|h| h.name.as_str()).collect();
    names.join(", ")
}
