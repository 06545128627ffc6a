//! Heads without their backbone, and the heads of several models on one.

use super::{Graft, graft};
use crate::error::{Error, Result, write_atomically};
use crate::model::novelty::{NOVELTY, Novelty};
use crate::model::{ModelSpec, heads};
use crate::model_file::{Description, ModelFile, Source, Tensors, read_described, to_bytes};
use crate::tensors::hash::of_tensors;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::path::Path;

/// A file with the heads of a model and no backbone, a few kB: safetensors whose description has the kind `"heads"` and says by a SHA-256
/// which backbone they were trained on.
///
/// ```no_run
/// use hydranet::ModelFile;
/// use hydranet::model_file::heads::{HeadsFile, heads_only, merge};
/// let ours = ModelFile::read("ours.safetensors")?;
/// heads_only(&ours)?.write("to_give_away.safetensors")?;
/// let theirs = HeadsFile::read("from_somebody.safetensors")?.attach(&ours.tensors)?;
/// merge(&[ours, theirs])?.write("all.safetensors")?;
/// # Ok::<(), hydranet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HeadsFile {
    /// As that of the model, the kind and [`backbone_sha256`](Description::backbone_sha256) apart.
    pub description: Description,
    /// `heads.…` and `joint.…`; in the folder of a model that has them also `novelty.…`.
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

/// The SHA-256 of a backbone: of its tensors `backbone.…` in order of name, of each the name, a zero byte, the number of its dimensions and
/// each of them in eight bytes, and its values as `f32`, numbers little-endian.
///
/// # Errors
/// If a tensor cannot be read.
pub fn backbone_sha256(tensors: &Tensors) -> Result<String> {
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
            });
        }
        let source = Source::new(tensors.clone());
        let vb = VarBuilder::from_backend(Box::new(source.clone()), DType::F32, Device::Cpu);
        let spec = &description.model;
        let width = spec.backbone.num_features();
        heads(spec, width, &vb)?;
        if let Some(novelty) = &description.novelty {
            Novelty::new(novelty, width, &vb.pp(NOVELTY))?;
        }
        source.verdict(origin)?;
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
        file.build()?;
        Ok(file)
    }
}

fn names(spec: &ModelSpec) -> String {
    let names: Vec<&str> = spec.heads.iter().map(|h| h.name.as_str()).collect();
    names.join(", ")
}

/// One model with the heads of several that were trained on the same frozen backbone, which it runs once: those of the first, then those of
/// each other in order. Each head's outputs stay the same to the last bit. A joint head and a decision of one of them do not survive, for the
/// final classes are others; combinations that any of them declares impossible stay so.
///
/// # Errors
/// [`Error::Invalid`] if there is none, two heads have the same name, or backbones or inputs differ.
pub fn merge(models: &[ModelFile]) -> Result<ModelFile> {
    let Some((first, others)) = models.split_first() else {
        return Err(Error::Invalid {
            what: "models to merge".into(),
            expected: "at least one".into(),
            found: "none".into(),
        });
    };
    let mut merged = first.clone();
    for (place, other) in others.iter().enumerate() {
        for head in &other.description.model.heads {
            if merged.description.model.head_index(&head.name).is_ok() {
                return Err(Error::Invalid {
                    what: format!("head `{}` of model {}", head.name, place + 2),
                    expected: "a name that no head before it has (`hydranet heads rename` gives it another)".into(),
                    found: format!("the heads {}", names(&merged.description.model)),
                });
            }
            merged = graft(&merged, other, &head.name, &Graft::default())?;
        }
        let impossible = &other.description.model.impossible;
        if !impossible.is_empty() {
            merged
                .description
                .model
                .impossible
                .extend(impossible.iter().cloned());
            merged.description.classes = merged.description.model.taxonomy()?.class_names();
        }
    }
    merged.description.model.validate()?;
    Ok(merged)
}
