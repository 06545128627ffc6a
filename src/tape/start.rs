//! How a tape starts.

use crate::composition::Composition;
use crate::engine::Engine;
use crate::graph::input;
use crate::int8::{Observed, Observer};
use crate::record::Recorder;
use crate::step::Interpreter;
use crate::tape::{Map, Tape};
use crate::values::Value;
use candle_core::{DType, Result, Tensor, bail};
use std::sync::Arc;

/// (batch, H, W, channels) of images.
fn dims(images: &Tensor) -> Result<[usize; 4]> {
    let (batch, c, h, w) = images.dims4()?;
    not_empty([batch, h, w, c])
}

fn not_empty([batch, h, w, c]: [usize; 4]) -> Result<[usize; 4]> {
    if [batch, h, w, c].contains(&0) {
        bail!("expected images that are not empty, found {batch} of {h} × {w} with {c} channels")
    }
    Ok([batch, h, w, c])
}

impl Tape {
    /// Starts with some images.
    ///
    /// # Shapes
    /// `images` `(batch, channels, H, W)`.
    ///
    /// # Errors
    /// If `images` has another rank, is empty, or is on the CPU and its type is neither `f32` nor `f64`.
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
        let dims = dims(images)?;
        let mut engine = Engine::<T>::new(images);
        let token = input(&mut engine, dims)?;
        Ok(Self::over(Box::new(engine), dims, token))
    }

    /// The same without own kernels, as on devices that hydranet has none for.
    ///
    /// # Errors
    /// If `images` has another rank or is empty.
    #[doc(hidden)]
    pub fn composed(images: &Tensor) -> Result<(Self, Map)> {
        let dims = dims(images)?;
        let mut composition = Composition::default();
        let token = composition.push(images.clone());
        Ok(Self::over(Box::new(composition), dims, token))
    }

    /// The same of images of type `f32` on the CPU, with a look at how often the values of each map occur.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[doc(hidden)]
    pub fn observed(images: &Tensor, observed: &Observed) -> Result<(Self, Map)> {
        let dims = dims(images)?;
        let mut engine = Engine::<f32>::new(&images.detach());
        let token = input(&mut engine, dims)?;
        let observer = Observer::new(engine, observed)?;
        Ok(Self::over(Box::new(observer), dims, token))
    }

    /// The same without computing: steps are written down, for [`into_record`](Self::into_record).
    ///
    /// # Errors
    /// If the images are empty.
    #[doc(hidden)]
    pub fn recorded(channels: usize, (h, w): (usize, usize)) -> Result<(Self, Map)> {
        let dims = not_empty([1, h, w, channels])?;
        let recorder = Box::new(Recorder::new(dims));
        Ok(Self::over(recorder, dims, Arc::default()))
    }
}
