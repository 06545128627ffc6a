//! Tensors from safetensors bytes, and back.

use super::finite::check_values;
use super::named::Tensors;
use super::quantise::dequantise;
use crate::error::{Error, Result};
use crate::io::recognise::what_instead_of_binary;
use candle_core::{DType, Device};
use safetensors::Dtype;
use std::collections::{BTreeMap, HashMap};

/// The metadata key.
pub(crate) const KEY: &str = "hydranet";

/// Reads the metadata and the tensors of safetensors bytes; `origin` names them in errors. Half-precision tensors become `f32`,
/// and so do `I8` ones that have a scale for each place of their first axis, see [`WeightDType::Int8`](crate::WeightDType::Int8).
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
            source: None,
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
                "not a whole safetensors file of {} bytes; is it cut off, or of another format?",
                bytes.len()
            ),
        },
        source: Some(e.into()),
    };
    let (_, metadata) = safetensors::SafeTensors::read_metadata(bytes).map_err(broken)?;
    let file = safetensors::SafeTensors::deserialize(bytes).map_err(broken)?;
    let (mut tensors, mut others) = (Tensors::new(), Vec::new());
    for (name, view) in file.iter() {
        match view.dtype() {
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16 => {
                let tensor = candle_core::safetensors::Load::load(&view, &Device::Cpu)?;
                tensors.insert(name.to_string(), tensor.to_dtype(DType::F32)?);
            }
            _ => others.push((name, view)),
        }
    }
    let others = dequantise(&mut tensors, others, origin)?;
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

pub(crate) fn serialize<'a, V>(
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
        problem: "cannot be written as safetensors".into(),
        source: Some(e.into()),
    })
}
