//! A tensor as PyTorch's pickles describe it: a view of a storage.

use crate::error::without_backtrace;
use crate::tensors::Tensors;
use candle_core::pickle::Object;
use candle_core::{DType, Device, Tensor};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How many more numbers the tensors of a file may have: each may be there under a few names, not under thousands.
pub(super) struct Budget(usize);

impl Budget {
    /// That of a file of so many bytes.
    pub fn of(bytes: usize) -> Self {
        Self(bytes.saturating_mul(4).saturating_add(1 << 22))
    }

    fn take(&mut self, count: usize) -> Result<(), String> {
        let left = self.0.checked_sub(count);
        self.0 = left.ok_or("its tensors together have far more numbers than its parts: they show the same numbers again and again")?;
        Ok(())
    }
}

/// A view of a storage: element i of dimension d lies `stride[d]` elements behind element i − 1.
#[derive(Debug)]
pub(super) struct Stored {
    /// The storage's key.
    pub key: String,
    /// `None`: integers.
    dtype: Option<DType>,
    offset: usize,
    size: Vec<usize>,
    stride: Vec<usize>,
}

fn class(object: &Object) -> Option<(&str, &str)> {
    match object {
        Object::Class {
            module_name,
            class_name,
        } => Some((module_name, class_name)),
        _ => None,
    }
}

fn tuple(object: &Object) -> Option<&[Object]> {
    match object {
        Object::Tuple(items) => Some(items),
        _ => None,
    }
}

fn number(object: &Object) -> Option<usize> {
    match object {
        Object::Int(i) => usize::try_from(*i).ok(),
        Object::Long(i) => usize::try_from(*i).ok(),
        _ => None,
    }
}

fn numbers(object: &Object) -> Option<Vec<usize>> {
    tuple(object)?.iter().map(number).collect()
}

/// Key and class of a storage.
fn storage(object: &Object) -> Option<(&str, &str)> {
    let Object::PersistentLoad(id) = object else {
        return None;
    };
    match tuple(id)? {
        [Object::Unicode(kind), of, Object::Unicode(key), ..] if kind == "storage" => {
            Some((key, class(of)?.1))
        }
        _ => None,
    }
}

/// Type and bytes of an element of a storage class.
fn element(class: &str) -> Option<(Option<DType>, usize)> {
    Some(match class {
        "FloatStorage" => (Some(DType::F32), 4),
        "DoubleStorage" => (Some(DType::F64), 8),
        "HalfStorage" => (Some(DType::F16), 2),
        "BFloat16Storage" => (Some(DType::BF16), 2),
        "LongStorage" => (None, 8),
        "IntStorage" => (None, 4),
        "ShortStorage" => (None, 2),
        "CharStorage" | "ByteStorage" | "BoolStorage" => (None, 1),
        _ => return None,
    })
}

impl Stored {
    /// The tensor an object is, if it is one; an error if it is one that cannot be read.
    pub fn of(object: &Object) -> Option<Result<Self, String>> {
        let Object::Reduce { callable, args } = object else {
            return None;
        };
        let args = tuple(args)?;
        match class(callable)? {
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Some(Self::view(args)),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Self::of(args.first()?)
            }
            // A tensor with attributes of its own: function, type, arguments, attributes.
            ("torch._tensor", "_rebuild_from_type_v2") => Some(Self::view(tuple(args.get(2)?)?)),
            _ => None,
        }
    }

    fn view(args: &[Object]) -> Result<Self, String> {
        let strange = || "its description is not PyTorch's".to_string();
        let [of, offset, size, stride, ..] = args else {
            return Err(strange());
        };
        let (key, class) = storage(of).ok_or_else(strange)?;
        let (dtype, _) = element(class).ok_or_else(|| format!("its type {class} is not known"))?;
        let stored = Self {
            key: key.into(),
            dtype,
            offset: number(offset).ok_or_else(strange)?,
            size: numbers(size).ok_or_else(strange)?,
            stride: numbers(stride).ok_or_else(strange)?,
        };
        if stored.size.len() == stored.stride.len() {
            Ok(stored)
        } else {
            Err(strange())
        }
    }

    pub fn is_float(&self) -> bool {
        self.dtype.is_some()
    }

    fn is_contiguous(&self) -> bool {
        let mut behind = 1;
        self.size
            .iter()
            .zip(&self.stride)
            .rev()
            .all(|(size, stride)| {
                let fits = *size == 1 || *stride == behind;
                behind *= size;
                fits
            })
    }

    /// The bytes of `count` elements of `width` in row-major order; all lie inside `data`.
    fn gather(&self, data: &[u8], count: usize, width: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count * width);
        let mut index = vec![0; self.size.len()];
        for _ in 0..count {
            let at: usize = index.iter().zip(&self.stride).map(|(i, s)| i * s).sum();
            let at = (self.offset + at) * width;
            bytes.extend_from_slice(&data[at..at + width]);
            for (i, size) in index.iter_mut().zip(&self.size).rev() {
                *i += 1;
                if *i < *size {
                    break;
                }
                *i = 0;
            }
        }
        bytes
    }

    /// The tensor, as `f32`, from its storage's bytes; none of integers.
    fn read(&self, data: &[u8], budget: &mut Budget) -> Result<Option<Tensor>, String> {
        let Some(dtype) = self.dtype else {
            return Ok(None);
        };
        let width = dtype.size_in_bytes();
        let outside = || {
            format!(
                "its shape {:?} lies outside its part of {} bytes; is the file cut off?",
                self.size,
                data.len()
            )
        };
        // A view may not have more elements than its storage either: a stride of 0 would make much of little.
        let elements = data.len() / width;
        // Empty axes aside, the others' product has to be a number too.
        let product = |n: usize, s: &usize| n.checked_mul((*s).max(1));
        let whole = self.size.iter().try_fold(1, product).ok_or_else(outside)?;
        let count = if self.size.contains(&0) { 0 } else { whole };
        let last = self
            .size
            .iter()
            .zip(&self.stride)
            .try_fold(self.offset, |at, (size, stride)| {
                at.checked_add(size.saturating_sub(1).checked_mul(*stride)?)
            });
        if count > elements || (count > 0 && last.is_none_or(|l| l >= elements)) {
            return Err(outside());
        }
        budget.take(count)?;
        let bytes = if count == 0 {
            Cow::Borrowed(&data[..0])
        } else if self.is_contiguous() {
            Cow::Borrowed(&data[self.offset * width..][..count * width])
        } else {
            Cow::Owned(self.gather(data, count, width))
        };
        Tensor::from_raw_buffer(&bytes, dtype, &self.size, &Device::Cpu)
            .and_then(|t| t.to_dtype(DType::F32))
            .map(Some)
            .map_err(|e| without_backtrace(e).to_string())
    }
}

/// Adds the tensors that are views of one storage.
pub(super) fn read_into(
    tensors: &mut Tensors,
    budget: &mut Budget,
    data: &[u8],
    stored: Vec<(String, Stored)>,
) -> Result<(), String> {
    for (name, stored) in stored {
        if let Some(tensor) = stored
            .read(data, budget)
            .map_err(|e| format!("`{name}`: {e}"))?
        {
            tensors.insert(name, tensor);
        }
    }
    Ok(())
}

/// Bytes of an element of every storage an object names.
pub(super) fn element_sizes(object: &Object, into: &mut BTreeMap<String, usize>) {
    if let Some((key, class)) = storage(object)
        && let Some((_, size)) = element(class)
    {
        into.insert(key.into(), size);
    }
    match object {
        Object::Tuple(items) | Object::List(items) => {
            items.iter().for_each(|o| element_sizes(o, into));
        }
        Object::Dict(entries) => entries.iter().for_each(|(k, v)| {
            element_sizes(k, into);
            element_sizes(v, into);
        }),
        Object::Reduce { callable, args } | Object::Build { callable, args } => {
            element_sizes(callable, into);
            element_sizes(args, into);
        }
        Object::PersistentLoad(id) => element_sizes(id, into),
        _ => {}
    }
}
