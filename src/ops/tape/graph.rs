//! A tape as an operator of candle's graph: images and results rearranged, parameters tied to it.

use super::Kernels;
use super::engine::{Engine, Slot};
use super::join;
use crate::buffer::Buffer;
use crate::shared::{in_pool, lock, tensor, typed_storage, with_values};
use crate::simd::Real;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::sync::{Arc, Mutex};

/// The map `result` as a tensor that depends on the images and on the tracked ones of `parameters`.
pub(super) fn tied(
    kernels: Kernels,
    result: usize,
    images: &Tensor,
    parameters: &[Option<Tensor>],
) -> Result<Tensor> {
    let gradients: Gradients = Arc::new(Mutex::new(vec![None; parameters.len()]));
    let mut thread = Tensor::zeros(1, images.dtype(), images.device())?;
    for (place, parameter) in parameters.iter().enumerate() {
        if let Some(parameter) = parameter {
            let tie = Tie {
                place,
                gradients: gradients.clone(),
            };
            thread = parameter.apply_op2(&thread, tie)?;
        }
    }
    images.apply_op2(
        &thread,
        Whole {
            kernels: Mutex::new(kernels),
            result,
            gradients,
        },
    )
}

/// Makes the images the tape's first map.
pub(super) fn input<T: Real>(
    engine: &mut Engine<T>,
    images: &Tensor,
    dims: [usize; 4],
) -> Result<(usize, Arc<()>)> {
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

/// out (columns × rows) := the transpose of `m` (rows × columns), in blocks that stay in the cache.
pub(super) fn transpose<T: Real>(m: &[T], rows: usize, columns: usize, out: &mut [T]) {
    const BLOCK: usize = 32;
    for r in (0..rows).step_by(BLOCK) {
        for c in (0..columns).step_by(BLOCK) {
            for j in c..(c + BLOCK).min(columns) {
                for i in r..(r + BLOCK).min(rows) {
                    out[j * rows + i] = m[i * columns + j];
                }
            }
        }
    }
}

/// A map's values as readers see them, `(batch, channels, H, W)`.
pub(super) fn channels_first<T: Real>(slot: &Slot<T>) -> Vec<T> {
    let [_, h, w, c] = slot.dims;
    let image = slot.image_len();
    let mut out = vec![T::ZERO; slot.dims.iter().product()];
    out.par_chunks_mut(image.max(1))
        .enumerate()
        .for_each_init(Vec::new, |scratch, (i, out)| {
            join::read(slot, i * image..(i + 1) * image, scratch, |rows| {
                transpose(rows, h * w, c, out);
            });
        });
    out
}

/// The parameters' gradients, from the tape's backward pass to theirs.
type Gradients = Arc<Mutex<Vec<Option<Tensor>>>>;

/// Ties a parameter to the tape. An operator of candle's has three arguments at the most, a tape hundreds: so each parameter is
/// the first argument of a tie, the tie before is its second, and the tape has the last tie as an argument. Backward reaches the
/// tape first, which finds all gradients, and then the ties, which hand them out; nothing is copied or added up on the way.
struct Tie {
    place: usize,
    gradients: Gradients,
}

impl CustomOp2 for Tie {
    fn name(&self) -> &'static str {
        "hydranet-tie"
    }

    fn cpu_fwd(
        &self,
        parameter: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((
            typed_storage!("tape", parameter, T => vec![T::ZERO]),
            Shape::from_dims(&[1]),
        ))
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

/// The whole tape as one operator: of the images, and of the thread that ties the parameters to it.
struct Whole {
    kernels: Mutex<Kernels>,
    result: usize,
    gradients: Gradients,
}

impl CustomOp2 for Whole {
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
        let (values, [batch, h, w, c]) = match &*lock(&self.kernels) {
            Kernels::F32(e) => {
                let slot = &e.slots[self.result];
                (CpuStorage::F32(channels_first(slot)), slot.dims)
            }
            Kernels::F64(e) => {
                let slot = &e.slots[self.result];
                (CpuStorage::F64(channels_first(slot)), slot.dims)
            }
        };
        Ok((values, Shape::from_dims(&[batch, c, h, w])))
    }

    fn bwd(
        &self,
        images: &Tensor,
        thread: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, found) = in_pool(|| match &mut *lock(&self.kernels) {
            Kernels::F32(e) => backward(e, self.result, images, gradient),
            Kernels::F64(e) => backward(e, self.result, images, gradient),
        })?;
        *lock(&self.gradients) = found;
        Ok((dx, Some(thread.zeros_like()?)))
    }
}

fn backward<T: Real>(
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
            Some(tensor(dx, images.dims())?)
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
                .map(|v| tensor(v, p.tensor.dims()))
                .transpose()
        })
        .collect::<Result<_>>()?;
    Ok((dx, found))
}
