//! Pretrained weights: where they come from, and how they become timm's tensors.
//!
//! A source is a file, the name of one in a weights folder or in the program itself (feature `shipped`), a folder with timm's
//! `config.json`, or `hf://organisation/name` on the Hugging Face Hub. The file may be safetensors or PyTorch's (nothing in it
//! is ever executed), with the prefixes of training programs, and with the names of timm, torchvision, `transformers`,
//! `efficientnet_pytorch` or the authors of ConvNeXt, Swin and DINOv2; see `adapt`.
//!
//! ```no_run
//! let tensors = hydranet::weights::read("resnet18.pth".as_ref())?;
//! for (name, tensor) in &tensors {
//!     println!("{name} {:?}", tensor.dims());
//! }
//! # Ok::<(), hydranet::Error>(())
//! ```

mod channels;
mod guard;
mod names;
mod pickle;
mod positions;
mod prefixes;
#[cfg(feature = "shipped")]
mod shipped;
pub(crate) mod source;
mod storage;

pub(crate) use crate::tensors::Shapes;
pub(crate) use channels::adapt_input_conv;

use crate::error::{Error, Result};
use crate::io::read::{WEIGHTS, bytes};
use crate::tensors::{KEY, TensorMismatch, Tensors, check_values, read_floats};
use candle_core::Tensor;
use names::{Scheme, Target, joined};
use std::path::Path;

/// The floating-point tensors of a weights file, safetensors or PyTorch's, as `f32`, with the file's own names.
///
/// # Errors
/// [`Error::Io`], or [`Error::Checkpoint`] that says what is wrong with the file.
pub fn read(path: &Path) -> Result<Tensors> {
    Ok(read_with_description(path)?.0)
}

/// The same, and what a safetensors file says of itself under hydranet's key.
pub(crate) fn read_with_description(path: &Path) -> Result<(Tensors, Option<String>)> {
    parse(&bytes(path, WEIGHTS)?, &path.display().to_string())
}

/// The same of a file's content; `origin` names it in errors.
pub(crate) fn parse(bytes: &[u8], origin: &str) -> Result<(Tensors, Option<String>)> {
    if pickle::is_pickle(bytes) {
        let tensors = pickle::read(bytes).map_err(|problem| Error::Checkpoint {
            origin: origin.into(),
            problem,
            source: None,
        })?;
        check_values(&tensors, origin)?;
        return Ok((tensors, None));
    }
    let (mut metadata, tensors, _) = read_floats(bytes, origin)?;
    Ok((tensors, metadata.remove(KEY)))
}

/// Makes tensors with any known names those of `shapes`, which are timm's; `origin` names them in errors.
///
/// In order: prefixes of training programs go; the names are recognised by how many of timm's they become, and translated;
/// queries, keys and values are joined; classifiers, counters and indices are left out; position embeddings are resampled to
/// another size of image; shapes that differ only in ones are reshaped; the first convolution is adapted to other channels
/// ([`adapt_input_conv`]).
///
/// # Errors
/// [`Error::Checkpoint`] that lists, grouped, what is missing, left over or of another shape, with the nearest names.
pub(crate) fn adapt(tensors: Tensors, shapes: &Shapes, origin: &str) -> Result<Tensors> {
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
    let (mut fitted, mut mismatch) = (Tensors::new(), TensorMismatch::default());
    for (name, tensor) in named {
        let Some(expected) = shapes.get(&name) else {
            if !is_needless(&name) {
                mismatch.unexpected.push(name);
            }
            continue;
        };
        let mut tensor = reshape(tensor, expected)?;
        if more != 0.0 && name.ends_with(".running_var") {
            tensor = (tensor + more)?;
        }
        if tensor.dims() != expected {
            let found = tensor.dims().to_vec();
            mismatch
                .misshaped
                .push((name.clone(), found, expected.clone()));
        }
        fitted.insert(name, tensor);
    }
    let missing = shapes.keys().filter(|n| !fitted.contains_key(*n));
    mismatch.missing = missing.cloned().collect();
    mismatch.check(&format!("{origin}, read with {} names", scheme.name))?;
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
pub(crate) fn reshape(tensor: Tensor, expected: &[usize]) -> Result<Tensor> {
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

#[cfg(all(test, feature = "cli"))]
#[path = "../../tests/weights/mod.rs"]
mod tests;
