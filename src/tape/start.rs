//! How a tape starts.

use crate::composition::Composition;
use crate::engine::Engine;
use crate::graph::input;
use crate::record::Recorder;
use crate::step::Interpreter;
use crate::tape::{Map, Tape};
use crate::values::Value;
use candle_core::{DType, Device, Result, Tensor, bail};
use std::sync::Arc;

impl Tape {
    /// Starts with some images.
    ///
    /// # Shapes
    /// `images` `(batch, channels, H, W)`.
    ///
    /// # Errors
    /// If `images` has another rank, or is on the CPU and its type is neither `f32` nor `f64`.
    pub fn new(images: &Tensor) -> Result<(Self, Map)> {
        match images.dtype() {
            _ if !images.device().is_cpu() => Self::composed(images),
            DType::F32 => Self::on_kernels::<f32>(images),
            DType::F64 => Self::on_kernels::<f64>(images),
            other => bail!("expected images of type f32 or f64, found {other:?}"),
        }
    }

    fn on_kernels<T: Value>(images: &Tensor) -> Result<(Self, Map)>
    where
        Engine<T>: Interpreter,
    {
        let (batch, c, h, w) = images.dims4()?;
        let dims = [batch, h, w, c];
        let mut engine = Engine::<T>::new();
        let token = input(&mut engine, images, dims)?;
        Ok(Self::over(Box::new(engine), images, dims, token))
    }

    /// The same without own kernels, as on devices that hydranet has none for.
    ///
    /// # Errors
    /// If `images` has another rank.
    #[doc(hidden)]
    pub fn composed(images: &Tensor) -> Result<(Self, Map)> {
        let (batch, c, h, w) = images.dims4()?;
        let mut composition = Composition::default();
        let token = composition.push(images.clone());
        let dims = [batch, h, w, c];
        Ok(Self::over(Box::new(composition), images, dims, token))
    }

    /// The same without computing: steps are written down, for [`into_record`](Self::into_record).
    ///
    /// # Errors
    /// If the tensor cannot be made.
    pub fn recorded(channels: usize, (h, w): (usize, usize)) -> Result<(Self, Map)> {
        // Takes no memory.
        let images = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        let images = images.broadcast_as((1, channels, h, w))?;
        let dims = [1, h, w, channels];
        let recorder = Box::new(Recorder::new(dims));
        Ok(Self::over(recorder, &images, dims, Arc::default()))
    }
}
