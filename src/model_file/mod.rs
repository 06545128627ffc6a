//! One file = one model: a safetensors file whose metadata says everything about it.
//!
//! The only metadata key is `hydranet`; its value is JSON ([`Description`]) with sorted keys, so equal models are equal bytes.
//! Tensors are `backbone.<timm's name>` and `heads.<head>.fc.weight`, `.fc.bias`, `.hidden.weight`, `.hidden.bias`; their shapes follow
//! from the head's labels and loss, see [`Head::new`](crate::Head::new). Those of a joint head are `joint.…` in the same way.

use crate::error::{Error, Result, write_atomically};
use crate::io::recognise::what_instead_of_binary;
use crate::model::combine::Decision;
use crate::model::novelty::{NOVELTY, Novelty, NoveltySpec};
use crate::model::{ModelSpec, MultiTaskModel};
use crate::tensors::mismatch::Account;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod dtype;
mod finite;
pub mod folder;
pub mod heads;
mod seen;

pub use dtype::WeightDType;
pub(crate) use finite::check_values;
pub use seen::{Seen, SeenSet, SeenSides};

/// The metadata key.
pub(crate) const KEY: &str = "hydranet";

/// The version of the format this crate writes.
const FORMAT: u32 = 1;

/// What a model file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// `"model"`; of heads without their backbone `"heads"`.
    pub kind: String,
    /// Version of the format: 1.
    pub format: u32,
    /// Backbone, heads, input.
    pub model: ModelSpec,
    /// The rule for the final class.
    pub decision: Decision,
    /// The final classes' names in order; follows from the heads, written for other readers.
    pub classes: Vec<String>,
    /// How the backbone's weights are kept in the file.
    #[serde(default, skip_serializing_if = "WeightDType::is_f32")]
    pub dtype: WeightDType,
    /// Statistics by which it is told how unlike the training photos a photo is, if the file has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub novelty: Option<NoveltySpec>,
    /// Of heads without their backbone its fingerprint, see [`backbone_sha256`](crate::model_file::heads::backbone_sha256).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone_sha256: Option<String>,
    /// Whom it was trained, validated and tested on: a record of each training that its weights went through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<Seen>,
    /// How it was trained: configuration, fingerprint of the data, scores. Free-form.
    #[serde(default)]
    pub training: serde_json::Value,
}

impl Description {
    /// The description of a model.
    ///
    /// # Errors
    /// If the specification is not valid.
    pub fn new(model: ModelSpec, training: serde_json::Value) -> Result<Self> {
        model.validate()?;
        let classes = model.taxonomy()?.class_names();
        Ok(Self {
            kind: "model".into(),
            format: FORMAT,
            model,
            decision: Decision::default(),
            classes,
            dtype: WeightDType::F32,
            novelty: None,
            backbone_sha256: None,
            seen: Vec::new(),
            training,
        })
    }

    /// Takes the records of the weights that this model was put together with. Where neither has any but that it is not known, it stays
    /// without.
    #[doc(hidden)]
    pub fn see(&mut self, records: &[Seen]) {
        if !self.seen.is_empty() || records.iter().any(|r| !r.incomplete) {
            self.seen = Seen::of(self);
            Seen::join(&mut self.seen, records);
        }
    }

    /// As JSON with sorted keys.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a value has no form in JSON.
    pub(crate) fn to_json(&self) -> Result<String> {
        let value = serde_json::to_value(self).map_err(json_error)?;
        serde_json::to_string(&value).map_err(json_error)
    }
}

/// Named tensors, in order of name.
pub type Tensors = BTreeMap<String, Tensor>;

/// A model file in memory.
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// What it is.
    pub description: Description,
    /// Its tensors.
    pub tensors: Tensors,
}

impl ModelFile {
    /// Reads a file, or a folder that [`export::folder`](crate::model_file::folder) wrote.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Checkpoint`] if it is not a whole hydranet model.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.is_dir() {
            return crate::model_file::folder::read(path);
        }
        let bytes = crate::io::read::bytes(path, crate::io::read::WEIGHTS)?;
        Self::from_bytes(&bytes, &path.display().to_string())
    }

    /// Reads a file without a second copy of it in memory: it is mapped, and each tensor taken out of the system's file cache. Only for
    /// files that nobody writes in place meanwhile; hydranet never does.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_mapped(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.is_dir() {
            return crate::model_file::folder::read(path);
        }
        let (file, _) = crate::io::read::open_within(path, crate::io::read::WEIGHTS)?;
        let bytes = hydranet_kernels::map_file(&file).map_err(|e| Error::io("read", path, e))?;
        Self::from_bytes(&bytes, &path.display().to_string())
    }

    /// The same model with its backbone's weights kept in `dtype`, and rounded to it.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming a tensor whose values it cannot hold.
    pub fn with_dtype(&self, dtype: WeightDType) -> Result<Self> {
        let mut description = self.description.clone();
        description.dtype = dtype;
        Ok(Self {
            description,
            tensors: dtype.rounded(&self.tensors)?,
        })
    }

    /// Reads bytes; `origin` names them in errors.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if they are not a whole hydranet model.
    pub fn from_bytes(bytes: &[u8], origin: &str) -> Result<Self> {
        let (description, tensors) = read_described(bytes, origin, "model")?;
        let file = Self {
            description,
            tensors,
        };
        file.parts(origin)?;
        Ok(file)
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

    /// The model, and what tells the novelty of a photo, if there is such.
    pub(crate) fn parts(&self, origin: &str) -> Result<(MultiTaskModel, Option<Novelty>)> {
        let source = Source::new(self.tensors.clone());
        let vb = VarBuilder::from_backend(Box::new(source.clone()), DType::F32, Device::Cpu);
        let spec = &self.description.model;
        let model = MultiTaskModel::new(spec, 0.0, &vb)?;
        let width = spec.backbone.num_features();
        let novelty = self.description.novelty;
        let novelty = novelty.map(|n| Novelty::new(&n, width, &vb.pp(NOVELTY)));
        let novelty = novelty.transpose()?;
        source.verdict(origin)?;
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
    };
    let (metadata, tensors) = read_tensors(bytes, origin)?;
    let Some(text) = metadata.get(KEY) else {
        return Err(fail(format!(
            "a safetensors file, but not a hydranet model: its metadata has no key `{KEY}`; its tensors are {}",
            few(tensors.keys())
        )));
    };
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|e| fail(format!("metadata `{KEY}` is not JSON: {e}")))?;
    match (value["kind"].as_str(), value["format"].as_u64()) {
        (Some(found), Some(f)) if found == kind && f == u64::from(FORMAT) => {}
        (Some(found), Some(f)) if found == kind => {
            return Err(fail(format!(
                "{kind} format {f}; this version of hydranet reads format {FORMAT}"
            )));
        }
        (Some("heads"), _) if kind != "heads" => {
            return Err(fail(
                "these are heads without their backbone; `hydranet heads attach` puts them on it"
                    .into(),
            ));
        }
        (Some("model"), _) if kind != "model" => {
            return Err(fail("this is a whole model, not heads without their backbone; `hydranet heads extract` takes them out of it".into()));
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
    let description: Description =
        serde_json::from_value(value).map_err(|e| fail(format!("metadata `{KEY}`: {e}")))?;
    description
        .model
        .validate()
        .map_err(|e| fail(e.to_string()))?;
    let novelty = description.novelty.map_or(Ok(()), |n| n.validate());
    novelty.map_err(|e| fail(e.to_string()))?;
    let taxonomy = description.model.taxonomy()?;
    let has_joint = description.model.joint.is_some();
    description
        .decision
        .validate(&taxonomy, has_joint)
        .map_err(|e| fail(e.to_string()))?;
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

fn json_error(e: serde_json::Error) -> Error {
    Error::Checkpoint {
        origin: "the model's description".into(),
        problem: e.to_string(),
    }
}

/// Reads the metadata and the tensors of safetensors bytes; `origin` names them in errors. Half-precision tensors become `f32`, and so do
/// `I8` ones that have a scale for each place of their first axis, see [`WeightDType::Int8`].
///
/// # Errors
/// [`Error::Checkpoint`] if the bytes are not a whole safetensors file or hold other integer tensors.
pub fn read_tensors(bytes: &[u8], origin: &str) -> Result<(HashMap<String, String>, Tensors)> {
    let (metadata, tensors, others) = read_floats(bytes, origin)?;
    match others.into_iter().next() {
        None => Ok((metadata, tensors)),
        Some((name, dtype)) => Err(Error::Checkpoint {
            origin: origin.into(),
            problem: format!(
                "tensor `{name}` is of type {dtype:?}; expected a floating-point type, or I8 with a `{name}.scale` for each place of its first axis"
            ),
        }),
    }
}

/// Metadata, floating-point tensors as `f32`, and the names and types of all others.
type Floats = (
    HashMap<String, String>,
    Tensors,
    BTreeMap<String, safetensors::Dtype>,
);

/// As [`read_tensors`], but integer tensors are only named: of other programs' files, counters and indices that no network needs.
pub(crate) fn read_floats(bytes: &[u8], origin: &str) -> Result<Floats> {
    let broken = |e: safetensors::SafeTensorError| Error::Checkpoint {
        origin: origin.into(),
        problem: match what_instead_of_binary(bytes) {
            Some(what) => format!("not a whole safetensors file, but {what}"),
            None => format!(
                "not a whole safetensors file of {} bytes ({e}); is it cut off, or of another format?",
                bytes.len()
            ),
        },
    };
    let (_, metadata) = safetensors::SafeTensors::read_metadata(bytes).map_err(broken)?;
    let file = safetensors::SafeTensors::deserialize(bytes).map_err(broken)?;
    let (mut tensors, mut others) = (Tensors::new(), Vec::new());
    for (name, view) in file.iter() {
        use safetensors::Dtype;
        match view.dtype() {
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16 => {
                let tensor = candle_core::safetensors::Load::load(&view, &Device::Cpu)?;
                tensors.insert(name.to_string(), tensor.to_dtype(DType::F32)?);
            }
            _ => others.push((name, view)),
        }
    }
    let others = dtype::dequantise(&mut tensors, others, origin)?;
    check_values(&tensors, origin)?;
    let metadata = metadata.metadata().clone().unwrap_or_default();
    Ok((metadata, tensors, others))
}

/// The bytes of a safetensors file with these tensors, and `description` under the key `hydranet`.
///
/// # Errors
/// If a tensor cannot be read.
pub fn to_bytes(tensors: &Tensors, description: Option<String>) -> Result<Vec<u8>> {
    serialize(tensors, description)
}

fn serialize<'a, V>(
    tensors: &'a BTreeMap<String, V>,
    description: Option<String>,
) -> Result<Vec<u8>>
where
    &'a V: safetensors::View,
{
    // One key only: with several, their order in the file would be that of a hash map.
    let metadata = description.map(|d| HashMap::from([(KEY.to_string(), d)]));
    safetensors::serialize(tensors, metadata).map_err(|e| Error::Checkpoint {
        origin: "the file to write".into(),
        problem: e.to_string(),
    })
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

/// Tensors of a file as a `VarBuilder`'s source. It answers every request, with zeros where the file has nothing fitting, and
/// keeps account, so that everything wrong with a file is said at once.
#[derive(Clone)]
pub(crate) struct Source {
    tensors: Arc<Tensors>,
    asked: Arc<Mutex<Asked>>,
}

#[derive(Default)]
struct Asked {
    names: BTreeSet<String>,
    missing: Vec<String>,
    misshaped: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Source {
    pub(crate) fn new(tensors: Tensors) -> Self {
        Self {
            tensors: Arc::new(tensors),
            asked: Arc::default(),
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing missing, nothing left over, every shape as expected; or an error that lists what is not.
    pub(crate) fn verdict(&self, origin: &str) -> Result<()> {
        let asked = self.asked();
        let unexpected = self.tensors.keys().filter(|k| !asked.names.contains(*k));
        Account {
            missing: asked.missing.clone(),
            unexpected: unexpected.cloned().collect(),
            misshaped: asked.misshaped.clone(),
        }
        .verdict(origin)
    }
}

impl SimpleBackend for Source {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        dev: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut asked = self.asked();
        asked.names.insert(name.into());
        match self.tensors.get(name) {
            Some(t) if *t.shape() == shape => return t.to_dtype(dtype),
            Some(t) => {
                asked
                    .misshaped
                    .push((name.into(), t.dims().to_vec(), shape.dims().to_vec()))
            }
            None => asked.missing.push(name.into()),
        }
        Tensor::zeros(shape, dtype, dev)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _: &Device) -> candle_core::Result<Tensor> {
        match self.tensors.get(name) {
            Some(t) => t.to_dtype(dtype),
            None => candle_core::bail!("no tensor named {name}"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}
