//! How the weights of a backbone are kept in a model file: in full, in half the bytes, or in a quarter.

use crate::error::Result;
use crate::names::named;
use crate::tensors::{Quantised, SCALE, Stored, Tensors, unfit};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The type of the backbone's weights in a model file. Only what has two axes or more is kept in a lesser type; biases, norms,
/// their statistics and all heads stay `f32`, since together they are a few hundredths of a file. In memory everything is `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WeightDType {
    /// As they were trained.
    #[default]
    F32,
    /// IEEE half precision, rounded to nearest: half the bytes.
    F16,
    /// The upper half of an `f32`, rounded to nearest: half the bytes, fewer digits, any size.
    Bf16,
    /// Whole numbers q from −127 to 127 and a scale for each output channel (the first axis), w ≈ q · scale: a quarter of the
    /// bytes. The scale is max |w| / 127 over the channel, symmetric and by channel as Krishnamoorthi 2018 recommends for
    /// weights, rounded up to 16 binary digits: q · scale is then exact, and quantising once more changes nothing.
    Int8,
}

named!(WeightDType, "type of weights", {
    F32 => "f32",
    F16 => "f16",
    Bf16 => "bf16",
    Int8 => "int8",
});

impl WeightDType {
    pub(crate) fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    /// Whether a tensor of this name and shape is kept in the lesser type.
    fn covers(self, name: &str, tensor: &Tensor) -> bool {
        self != Self::F32 && name.starts_with("backbone.") && tensor.rank() >= 2
    }

    /// Tensors as they come back from a file that keeps them in this type.
    pub(crate) fn rounded(self, tensors: &Tensors) -> Result<Tensors> {
        let round = |(name, t): (&String, &Tensor)| {
            let kept = match (self, self.covers(name, t)) {
                (_, false) => t.clone(),
                (Self::Int8, true) => {
                    let quantised = Quantised::new(name, t)?;
                    Tensor::from_vec(quantised.values(), t.dims(), &Device::Cpu)?
                }
                (_, true) => self.half(name, t)?.to_dtype(DType::F32)?,
            };
            Ok((name.clone(), kept))
        };
        tensors.iter().map(round).collect()
    }

    /// A tensor in half precision.
    fn half(self, name: &str, tensor: &Tensor) -> Result<Tensor> {
        let dtype = match self {
            Self::F16 => DType::F16,
            _ => DType::BF16,
        };
        let half = tensor.to_dtype(dtype)?;
        let values: Vec<f32> = half.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        if values.iter().all(|v| v.is_finite()) {
            Ok(half)
        } else {
            Err(unfit(
                name,
                &format!("values that {} cannot hold", self.name()),
            ))
        }
    }

    /// What is written to a file.
    pub(crate) fn stored(self, tensors: &Tensors) -> Result<BTreeMap<String, Stored>> {
        let mut stored = BTreeMap::new();
        for (name, t) in tensors {
            let covered = self.covers(name, t);
            if covered && self == Self::Int8 {
                let Quantised { shape, q, scale } = Quantised::new(name, t)?;
                let scale = Tensor::new(scale, &Device::Cpu)?;
                stored.insert(format!("{name}{SCALE}"), Stored::Tensor(scale));
                stored.insert(name.clone(), Stored::Int8 { shape, q });
            } else {
                let kept = if covered {
                    self.half(name, t)?
                } else {
                    t.clone()
                };
                stored.insert(name.clone(), Stored::Tensor(kept));
            }
        }
        Ok(stored)
    }
}
