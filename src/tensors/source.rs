//! Tensors as a source of a model's variables.

use super::mismatch::TensorMismatch;
use super::named::Tensors;
use crate::error::Result;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    pub(crate) fn check(&self, origin: &str) -> Result<()> {
        let asked = self.asked();
        let unexpected = self.tensors.keys().filter(|k| !asked.names.contains(*k));
        TensorMismatch {
            missing: asked.missing.clone(),
            unexpected: unexpected.cloned().collect(),
            misshaped: asked.misshaped.clone(),
        }
        .check(origin)
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
