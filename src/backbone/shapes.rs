//! Which tensors an architecture has, told by building it over a source that notes what it is asked for.

use super::Architecture;
use crate::error::Result;
use crate::tensors::Shapes;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use std::sync::{Arc, Mutex, PoisonError};

impl Architecture {
    /// The tensors it has for images of so many channels, without its classifier.
    ///
    /// # Errors
    /// If it cannot be built.
    pub(crate) fn shapes(self, channels: usize) -> Result<Shapes> {
        let recorder = Recorder::default();
        let vb = VarBuilder::from_backend(Box::new(recorder.clone()), DType::F32, Device::Cpu);
        self.build_for(channels, vb, 0.0)?;
        let shapes = recorder.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(shapes.clone())
    }
}

/// A `VarBuilder`'s source of zeros that need no memory, for whoever asks a network about itself.
pub(super) fn nothing() -> Box<dyn SimpleBackend> {
    Box::new(Recorder::default())
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
