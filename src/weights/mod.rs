//! Pretrained weights: where they come from, and how they become timm's tensors.
//!
//! A source is a file, the name of one in a weights folder, a folder with timm's `config.json`, or `hf://organisation/name` on the
//! Hugging Face Hub. The file may be safetensors or PyTorch's (nothing in it is ever executed), with the prefixes of training programs,
//! and with the names of timm, torchvision, `transformers`, `efficientnet_pytorch` or the authors of ConvNeXt, Swin and DINOv2; see
//! [`adapt`].

mod ancestry;
mod channels;
mod guard;
mod names;
mod pickle;
mod positions;
mod prefixes;
mod source;
mod storage;

pub use ancestry::seen;
pub use channels::adapt_input_conv;

use crate::backbone::Architecture;
use crate::error::{Error, Result};
use crate::model::ModelSpec;
use crate::model_file::folder;
use crate::model_file::{KEY, Tensors, check_values, read_floats};
use crate::tensors::mismatch::Account;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use names::{Scheme, Target, joined};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Shapes by name.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// The weights a source has for an architecture, named `backbone.…`; of a hydranet model all its tensors, those of its heads too.
///
/// `source` is a file, a folder with timm's `config.json`, the name of a file in one of `folders`, or `hf://…` (with the feature `hub`, see
/// `hydranet::hub`).
///
/// # Errors
/// [`Error::Invalid`] with the folders looked in and the files there are; [`Error::Io`] or [`Error::Checkpoint`] if it cannot be
/// had or read, or does not fit the architecture.
pub fn load(source: &str, folders: &[PathBuf], architecture: Architecture) -> Result<Tensors> {
    load_for(3, source, folders, architecture)
}

/// The same for images of so many channels: the first convolution's weights are made for them by [`adapt_input_conv`].
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
    let path = source::find(source, folders)?;
    match read_file(&path)? {
        (mut tensors, Origin::Ours(spec)) => {
            if channels != 3 {
                for (name, shape) in shapes_for(channels, architecture)? {
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
            let origin = path.display().to_string();
            let tensors = adapt(tensors, &shapes_for(channels, architecture)?, &origin)?;
            let named = |(name, t)| (format!("backbone.{name}"), t);
            Ok((tensors.into_iter().map(named).collect(), None))
        }
    }
}

/// The floating-point tensors of a weights file, safetensors or PyTorch's, as `f32`, with the file's own names.
///
/// # Errors
/// [`Error::Io`], or [`Error::Checkpoint`] that says what is wrong with the file.
pub fn read(path: &Path) -> Result<Tensors> {
    Ok(read_file(path)?.0)
}

/// Whose file it is.
enum Origin {
    /// A hydranet model, with what it says of itself if it has heads.
    Ours(Option<Box<ModelSpec>>),
    /// Another program's.
    Other,
}

/// The tensors of a file, or of a model's folder, and whether it is a hydranet model.
fn read_file(path: &Path) -> Result<(Tensors, Origin)> {
    if path.is_dir() {
        let file = folder::read(path)?;
        let spec = Box::new(file.description.model);
        return Ok((file.tensors, Origin::Ours(Some(spec))));
    }
    let bytes = crate::io::read::bytes(path, crate::io::read::WEIGHTS)?;
    let origin = path.display().to_string();
    let fail = |problem: String| Error::Checkpoint {
        origin: origin.clone(),
        problem,
    };
    if pickle::is_pickle(&bytes) {
        let tensors = pickle::read(&bytes).map_err(fail)?;
        check_values(&tensors, &origin)?;
        return Ok((tensors, Origin::Other));
    }
    let (metadata, tensors, _) = read_floats(&bytes, &origin)?;
    let has = |prefix: &str| tensors.keys().any(|k| k.starts_with(prefix));
    let Some(text) = metadata.get(KEY).filter(|_| has("backbone.")) else {
        return Ok((tensors, Origin::Other));
    };
    if !has("heads.") && !has("joint.") {
        return Ok((tensors, Origin::Ours(None)));
    }
    // Heads whose labels are not known would be taken for whatever has their shape.
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|e| fail(format!("metadata `{KEY}` is not JSON: {e}")))?;
    let spec: ModelSpec = serde_json::from_value(value["model"].clone()).map_err(|e| {
        fail(format!(
            "metadata `{KEY}` does not say what its heads are: {e}"
        ))
    })?;
    spec.validate().map_err(|e| fail(e.to_string()))?;
    Ok((tensors, Origin::Ours(Some(Box::new(spec)))))
}

/// The tensors an architecture has, without its classifier.
///
/// # Errors
/// If it cannot be built.
pub fn shapes(architecture: Architecture) -> Result<Shapes> {
    shapes_for(3, architecture)
}

/// The same for images of so many channels.
///
/// # Errors
/// If it cannot be built.
pub fn shapes_for(channels: usize, architecture: Architecture) -> Result<Shapes> {
    let recorder = Recorder::default();
    let vb = VarBuilder::from_backend(Box::new(recorder.clone()), DType::F32, Device::Cpu);
    architecture.build_for(channels, vb, 0.0)?;
    let shapes = recorder.0.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(shapes.clone())
}

/// A `VarBuilder`'s source that notes what it is asked for.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Shapes>>);

impl SimpleBackend for Recorder {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut shapes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shapes.insert(name.into(), shape.dims().to_vec());
        // One zero seen from everywhere: the great networks need no memory for this.
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name}: hydranet's layers always give a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

/// Makes tensors with any known names those of `shapes`, which are timm's; `origin` names them in errors.
///
/// In order: prefixes of training programs go; the names are recognised by how many of timm's they become, and translated; queries,
/// keys and values are joined; classifiers, counters and indices are left out; position embeddings are resampled to another size of
/// image; shapes that differ only in ones are reshaped; the first convolution is adapted to other channels ([`adapt_input_conv`]).
///
/// # Errors
/// [`Error::Checkpoint`] that lists, grouped, what is missing, left over or of another shape, with the nearest names.
pub fn adapt(tensors: Tensors, shapes: &Shapes, origin: &str) -> Result<Tensors> {
    let target = Target::new(shapes);
    let tensors = prefixes::strip(tensors);
    let scheme = Scheme::recognise(tensors.keys(), &target);
    let mut named = Tensors::new();
    for (name, tensor) in tensors {
        match scheme.rename(&name, &target) {
            Some(new) if new.is_empty() => {}
            Some(new) => drop(named.insert(new, tensor)),
            None => drop(named.insert(name, tensor)),
        }
    }
    join(&mut named, shapes)?;
    positions::fit(&mut named, shapes)?;
    let more = (scheme.variance)(&target);
    let (mut fitted, mut account) = (Tensors::new(), Account::default());
    for (name, tensor) in named {
        let Some(expected) = shapes.get(&name) else {
            if !is_needless(&name) {
                account.unexpected.push(name);
            }
            continue;
        };
        let mut tensor = reshape(tensor, expected)?;
        if more != 0.0 && name.ends_with(".running_var") {
            tensor = (tensor + more)?;
        }
        if tensor.dims() != expected {
            let found = tensor.dims().to_vec();
            account
                .misshaped
                .push((name.clone(), found, expected.clone()));
        }
        fitted.insert(name, tensor);
    }
    let missing = shapes.keys().filter(|n| !fitted.contains_key(*n));
    account.missing = missing.cloned().collect();
    account.verdict(&format!("{origin}, read with {} names", scheme.name))?;
    Ok(fitted)
}

/// Queries, keys and values as one tensor, where timm has one.
fn join(tensors: &mut Tensors, shapes: &Shapes) -> Result<()> {
    let of_queries = |n: &&String| n.contains("attn.q.");
    for query in tensors
        .keys()
        .filter(of_queries)
        .cloned()
        .collect::<Vec<_>>()
    {
        let Some(whole) = joined(&query).filter(|n| shapes.contains_key(n)) else {
            continue;
        };
        let parts = ["q", "k", "v"].map(|part| query.replace("attn.q.", &format!("attn.{part}.")));
        let [Some(q), Some(k), Some(v)] = parts.each_ref().map(|name| tensors.get(name)) else {
            continue;
        };
        let joined = Tensor::cat(&[q, k, v], 0)?;
        for part in &parts {
            tensors.remove(part);
        }
        tensors.insert(whole, joined);
    }
    Ok(())
}

/// Whether features need no such tensor: the classifier's, counters, indices, masks.
fn is_needless(name: &str) -> bool {
    let classifier = ["classifier.", "fc.", "head.fc.", "head_dist."];
    let other = [
        "num_batches_tracked",
        "relative_position_index",
        "relative_coords_table",
        "attn_mask",
        "mask_token",
    ];
    matches!(name, "head.weight" | "head.bias")
        || classifier.iter().any(|p| name.starts_with(p))
        || other.iter().any(|s| name.ends_with(s))
}

/// A shape that differs only in ones, or in the channels of an image.
fn reshape(tensor: Tensor, expected: &[usize]) -> Result<Tensor> {
    let long = |dims: &[usize]| {
        dims.iter()
            .filter(|d| **d != 1)
            .copied()
            .collect::<Vec<_>>()
    };
    if tensor.dims() != expected && long(tensor.dims()) == long(expected) {
        return Ok(tensor.reshape(expected)?);
    }
    match (tensor.dims(), expected) {
        (&[o, 3, h, w], &[outputs, channels, height, width])
            if channels != 3 && [o, h, w] == [outputs, height, width] =>
        {
            Ok(adapt_input_conv(&tensor, channels)?)
        }
        _ => Ok(tensor),
    }
}
