//! A tape as an operator of candle's graph: images and results rearranged, parameters linked to it.

use crate::engine::{Engine, Slot};
use crate::values::{Value, lock, with_values};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::tasks::in_pool;
use hydranet_kernels::transpose::transpose;
use rayon::prelude::*;
use std::sync::{Arc, Mutex};

/// The map `result` as a tensor that depends on the images and on the tracked parameters.
///
/// An operator of candle's has three arguments at the most, a tape hundreds: so each parameter is the first argument of a link,
/// the link before is its second, and the tape has the last link as an argument. Backward reaches the tape first, which finds all
/// gradients, and then the links, which hand them out; nothing is copied or added up on the way.
pub(crate) fn linked<T: Value>(engine: Engine<T>, result: usize) -> Result<Tensor> {
    let (parameters, images) = (engine.tracked(), engine.images.clone());
    let gradients = Arc::new(Mutex::new(vec![None; parameters.len()]));
    let mut thread = Tensor::zeros(1, images.dtype(), images.device())?;
    for (place, parameter) in parameters.into_iter().enumerate() {
        let Some(parameter) = parameter else { continue };
        let gradients = gradients.clone();
        let link = Done {
            name: "hydranet-parameter",
            result: || Ok((T::storage(vec![T::ZERO]), Shape::from_dims(&[1]))),
            backward: move |parameter: &Tensor, _: &Tensor| {
                let found: Option<Tensor> = lock(&gradients)[place].take();
                Ok(Some(found.map_or_else(|| parameter.zeros_like(), Ok)?))
            },
        };
        thread = parameter.apply_op2(&thread, link)?;
    }
    let engine = Arc::new(Mutex::new(engine));
    let done = engine.clone();
    let tape = Done {
        name: "hydranet-tape",
        // The work is done already; only the result's values are handed over.
        result: move || {
            let slot = &lock(&done).slots[result];
            let [batch, h, w, c] = slot.dims;
            let values = T::storage(channels_first(slot)?);
            Ok((values, Shape::from_dims(&[batch, c, h, w])))
        },
        backward: move |images: &Tensor, gradient: &Tensor| {
            let run = || backward(&mut lock(&engine), result, images, gradient);
            // A pass that waits for other parts of its batch keeps no thread of the pool from them.
            let waits = lock(&engine).shared().is_some();
            let (dx, found) = if waits { run() } else { in_pool(run) }?;
            *lock(&gradients) = found;
            Ok(dx)
        },
    };
    images.apply_op2(&thread, tape)
}

/// An operator whose `result` is known, and which has a gradient of its first argument: `backward(argument, gradient)`. The
/// second argument is the thread that links parameters.
struct Done<R, B> {
    name: &'static str,
    result: R,
    backward: B,
}

impl<R, B> CustomOp2 for Done<R, B>
where
    R: Fn() -> Result<(CpuStorage, Shape)> + Send + Sync,
    B: Fn(&Tensor, &Tensor) -> Result<Option<Tensor>> + Send + Sync,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        (self.result)()
    }

    fn bwd(
        &self,
        argument: &Tensor,
        thread: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = (self.backward)(argument, gradient)?;
        Ok((gradient, Some(thread.zeros_like()?)))
    }
}

/// Makes the images the tape's first map; gives the token its handle holds.
pub(crate) fn input<T: Value>(engine: &mut Engine<T>, dims: [usize; 4]) -> Result<Arc<()>> {
    let [_, h, w, c] = dims;
    let mut buffer = Buffer::new(dims.iter().product());
    with_values(&engine.images, |x: &[T]| {
        transposed(x, (c, h * w), &mut buffer);
        Ok(())
    })?;
    let tracked = engine.images.track_op();
    Ok(engine.push(Slot::new(dims, buffer, tracked)))
}

/// Turns each image's `rows` × `cols` values round.
fn transposed<T: Value>(values: &[T], (rows, cols): (usize, usize), out: &mut [T]) {
    out.par_chunks_mut(rows * cols)
        .zip(values.par_chunks(rows * cols))
        .for_each(|(out, image)| transpose(image, rows, cols, out));
}

/// A map's values as readers see them, `(batch, channels, H, W)`.
pub(crate) fn channels_first<T: Value>(slot: &Slot<T>) -> Result<Vec<T>> {
    let [_, h, w, c] = slot.dims;
    let (image, input) = (slot.image_len(), slot.input()?);
    let mut out = vec![T::ZERO; slot.len()];
    out.par_chunks_mut(image)
        .enumerate()
        .for_each_init(Vec::new, |scratch, (i, out)| {
            input.read(i * image..(i + 1) * image, scratch, |rows| {
                transpose(rows, h * w, c, out);
            });
        });
    Ok(out)
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
        transposed(d, (c, h * w), &mut start);
        Ok(())
    })?;
    let (input, found) = engine.backward(result, start)?;
    let dx = match (images.track_op(), input) {
        (true, Some(gradient)) => {
            let [_, h, w, c] = engine.slots[0].dims;
            let mut dx = vec![T::ZERO; images.elem_count()];
            transposed(&gradient.values, (h * w, c), &mut dx);
            Some(T::tensor(dx, images.dims())?)
        }
        (true, None) => Some(images.zeros_like()?),
        (false, _) => None,
    };
    Ok((dx, found))
}
