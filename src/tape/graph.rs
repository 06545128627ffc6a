//! A tape as an operator of candle's graph: images and results rearranged, parameters linked to it.

use crate::engine::{Engine, Slot};
use crate::values::{Value, lock, with_values};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::tasks::in_pool;
use hydranet_kernels::transpose::transpose;
use rayon::prelude::*;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

/// The map `result` as a tensor that depends on the images and on the tracked parameters.
pub(crate) fn linked<T: Value>(
    engine: Engine<T>,
    result: usize,
    images: &Tensor,
) -> Result<Tensor> {
    let parameters = engine.tracked();
    let gradients: Gradients = Arc::new(Mutex::new(vec![None; parameters.len()]));
    let mut thread = Tensor::zeros(1, images.dtype(), images.device())?;
    for (place, parameter) in parameters.iter().enumerate() {
        if let Some(parameter) = parameter {
            let link = ParamLink {
                place,
                gradients: gradients.clone(),
                values: PhantomData::<fn() -> T>,
            };
            thread = parameter.apply_op2(&thread, link)?;
        }
    }
    let tape = TapeOp {
        engine: Mutex::new(engine),
        result,
        gradients,
    };
    images.apply_op2(&thread, tape)
}

/// Makes the images the tape's first map; gives the token its handle holds.
pub(crate) fn input<T: Value>(
    engine: &mut Engine<T>,
    images: &Tensor,
    dims: [usize; 4],
) -> Result<Arc<()>> {
    let [_, h, w, c] = dims;
    let mut buffer = Buffer::new(dims.iter().product());
    with_values(images, |x: &[T]| {
        let plane = h * w;
        buffer
            .par_chunks_mut((plane * c).max(1))
            .zip(x.par_chunks((plane * c).max(1)))
            .for_each(|(out, image)| transpose(image, c, plane, out));
        Ok(())
    })?;
    Ok(engine.push(Slot::new(dims, buffer, images.track_op())))
}

/// A map's values as readers see them, `(batch, channels, H, W)`.
pub(crate) fn channels_first<T: Value>(slot: &Slot<T>) -> Result<Vec<T>> {
    let [_, h, w, c] = slot.dims;
    let (image, input) = (slot.image_len(), slot.input()?);
    let mut out = vec![T::ZERO; slot.len()];
    out.par_chunks_mut(image.max(1))
        .enumerate()
        .for_each_init(Vec::new, |scratch, (i, out)| {
            input.read(i * image..(i + 1) * image, scratch, |rows| {
                transpose(rows, h * w, c, out);
            });
        });
    Ok(out)
}

/// The parameters' gradients, from the tape's backward pass to theirs.
type Gradients = Arc<Mutex<Vec<Option<Tensor>>>>;

/// Links a parameter to the tape. An operator of candle's has three arguments at the most, a tape hundreds: so each parameter is
/// the first argument of a link, the link before is its second, and the tape has the last link as an argument. Backward reaches
/// the tape first, which finds all gradients, and then the links, which hand them out; nothing is copied or added up on the way.
struct ParamLink<T> {
    place: usize,
    gradients: Gradients,
    values: PhantomData<fn() -> T>,
}

impl<T: Value> CustomOp2 for ParamLink<T> {
    fn name(&self) -> &'static str {
        "hydranet-parameter"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((T::storage(vec![T::ZERO]), Shape::from_dims(&[1])))
    }

    fn bwd(
        &self,
        parameter: &Tensor,
        thread: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = match lock(&self.gradients)[self.place].take() {
            Some(gradient) => gradient,
            None => parameter.zeros_like()?,
        };
        Ok((Some(gradient), Some(thread.zeros_like()?)))
    }
}

/// The whole tape as one operator: of the images, and of the thread that links the parameters to it.
struct TapeOp<T: Value> {
    engine: Mutex<Engine<T>>,
    result: usize,
    gradients: Gradients,
}

impl<T: Value> CustomOp2 for TapeOp<T> {
    fn name(&self) -> &'static str {
        "hydranet-tape"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        // The work is done already; only the result's values are handed over.
        let slot = &lock(&self.engine).slots[self.result];
        let [batch, h, w, c] = slot.dims;
        let values = T::storage(channels_first(slot)?);
        Ok((values, Shape::from_dims(&[batch, c, h, w])))
    }

    fn bwd(
        &self,
        images: &Tensor,
        thread: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let run = || backward(&mut lock(&self.engine), self.result, images, gradient);
        let (dx, found) = in_pool(run)?;
        *lock(&self.gradients) = found;
        Ok((dx, Some(thread.zeros_like()?)))
    }
}

fn backward<T: Value>(
    engine: &mut Engine<T>,
    result: usize,
    images: &Tensor,
    gradient: &Tensor,
) -> Result<(Option<Tensor>, Vec<Option<Tensor>>)> {
    let [_, h, w, c] = engine.slots[result].dims;
    let mut start = Buffer::new(gradient.elem_count());
    with_values(gradient, |d: &[T]| {
        let image = (h * w * c).max(1);
        start
            .par_chunks_mut(image)
            .zip(d.par_chunks(image))
            .for_each(|(out, d)| transpose(d, c, h * w, out));
        Ok(())
    })?;
    let (input, found) = engine.backward(result, start)?;
    let dx = match (images.track_op(), input) {
        (true, Some(gradient)) => {
            let [_, h, w, c] = engine.slots[0].dims;
            let image = (h * w * c).max(1);
            let mut dx = vec![T::ZERO; images.elem_count()];
            dx.par_chunks_mut(image)
                .zip(gradient.values.par_chunks(image))
                .for_each(|(out, d)| transpose(d, h * w, c, out));
            Some(T::tensor(dx, images.dims())?)
        }
        (true, None) => Some(images.zeros_like()?),
        (false, _) => None,
    };
    let found = engine
        .params
        .iter()
        .zip(found)
        .map(|(p, values)| {
            values
                .filter(|_| p.tracked)
                .map(|v| T::tensor(v, p.tensor.dims()))
                .transpose()
        })
        .collect::<Result<_>>()?;
    Ok((dx, found))
}
