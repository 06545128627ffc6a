//! Tensors as whole numbers with a scale for each place of their first axis.

use super::named::Tensors;
use crate::error::{Error, Result};
use candle_core::{Device, Tensor};
use hydranet_kernels::int8::by_row;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What the name of a quantised tensor's scales ends in.
pub(crate) const SCALE: &str = ".scale";

/// An error of a tensor that a type cannot hold.
pub(crate) fn unfit(name: &str, what: &str) -> Error {
    Error::Checkpoint {
        origin: "the model".into(),
        problem: format!("tensor `{name}` has {what}"),
        source: None,
    }
}

/// One tensor of a file.
pub(crate) enum Stored {
    Tensor(Tensor),
    Int8 { shape: Vec<usize>, q: Vec<u8> },
}

impl safetensors::View for &Stored {
    fn dtype(&self) -> Dtype {
        match self {
            Stored::Tensor(t) => safetensors::View::dtype(t),
            Stored::Int8 { .. } => Dtype::I8,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Stored::Tensor(t) => t.dims(),
            Stored::Int8 { shape, .. } => shape,
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Stored::Tensor(t) => safetensors::View::data(t),
            Stored::Int8 { q, .. } => Cow::Borrowed(q),
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Stored::Tensor(t) => safetensors::View::data_len(t),
            Stored::Int8 { q, .. } => q.len(),
        }
    }
}

/// A tensor as whole numbers, bytes of `i8`, and a scale for each place of its first axis, see [`by_row`].
pub(crate) struct Quantised {
    pub shape: Vec<usize>,
    pub q: Vec<u8>,
    pub scale: Vec<f32>,
}

impl Quantised {
    pub fn new(name: &str, tensor: &Tensor) -> Result<Self> {
        let shape = tensor.dims().to_vec();
        let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        if !values.iter().all(|v| v.is_finite()) {
            return Err(unfit(name, "values that are not finite"));
        }
        let channel = shape[1..].iter().product::<usize>().max(1);
        let (q, scale) = by_row(&values, channel);
        let q = q.into_iter().map(i8::cast_unsigned).collect();
        Ok(Self { shape, q, scale })
    }

    pub fn values(&self) -> Vec<f32> {
        values(&self.q, &self.scale)
    }
}

fn values(q: &[u8], scale: &[f32]) -> Vec<f32> {
    let channel = (q.len() / scale.len().max(1)).max(1);
    let channels = q.chunks(channel).zip(scale);
    channels
        .flat_map(|(q, s)| q.iter().map(move |q| f32::from(*q as i8) * s))
        .collect()
}

/// Makes the quantised tensors among `others` `f32`, with the scales that are taken out of `tensors`; those without fitting
/// scales stay.
pub(crate) fn dequantise(
    tensors: &mut Tensors,
    others: Vec<(&str, TensorView<'_>)>,
    origin: &str,
) -> Result<BTreeMap<String, Dtype>> {
    let mut left = BTreeMap::new();
    for (name, view) in others {
        let scales = format!("{name}{SCALE}");
        let fits = |t: &&Tensor| Some(t.dims()) == view.shape().get(..1);
        let scale = tensors.get(&scales).filter(fits);
        match (view.dtype(), scale) {
            (Dtype::I8, Some(scale)) => {
                let scale = scale.to_vec1::<f32>()?;
                if let Some(wrong) = scale.iter().find(|s| !(s.is_finite() && **s >= 0.0)) {
                    return Err(Error::Checkpoint {
                        origin: origin.into(),
                        problem: format!(
                            "tensor `{scales}` has the scale {wrong}; expected finite numbers of at least 0; did the training diverge?"
                        ),
                        source: None,
                    });
                }
                let values = values(view.data(), &scale);
                let tensor = Tensor::from_vec(values, view.shape(), &Device::Cpu)?;
                tensors.remove(&scales);
                tensors.insert(name.into(), tensor);
            }
            (other, _) => drop(left.insert(name.into(), other)),
        }
    }
    Ok(left)
}
