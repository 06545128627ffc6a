//! Maps behind each other in one row.

use crate::engine::{Back, Engine, Gradient, Node, Slot};
use crate::step::Output;
use crate::values::Value;
use candle_core::Result;
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::transpose::transpose;
use rayon::prelude::*;
use std::sync::Arc;

/// The planes of maps, in order.
struct Row {
    maps: Vec<usize>,
}

pub(super) fn forward<T: Value>(
    engine: &mut Engine<T>,
    maps: Vec<usize>,
    dims: [usize; 4],
) -> Result<Output> {
    let [batch, _, _, width] = dims;
    let mut y = Buffer::new(batch * width);
    let mut start = 0;
    for x in &maps {
        let slot = &engine.slots[*x];
        let [_, h, w, c] = slot.dims;
        let (image, input) = (slot.image_len(), slot.input()?);
        y.par_chunks_mut(width)
            .enumerate()
            .for_each_init(Vec::new, |scratch, (i, y)| {
                let planes = &mut y[start..start + image];
                input.read(i * image..(i + 1) * image, scratch, |rows| {
                    transpose(rows, h * w, c, planes);
                });
            });
        start += image;
    }
    let tracked = maps.iter().any(|x| engine.slots[*x].tracked);
    let arguments = maps.clone();
    let slot = Slot::new(dims, y, tracked);
    Ok(engine.give(slot, &arguments, |_, _| Row { maps }))
}

impl<T: Value> Node<T> for Row {
    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let lengths = self.maps.iter().map(|x| back.slots[*x].image_len());
        let width: usize = lengths.sum();
        let mut start = 0;
        for x in &self.maps {
            let slot = &back.slots[*x];
            let [_, h, w, c] = slot.dims;
            let image = slot.image_len();
            if slot.tracked {
                let mut dx = Buffer::new(slot.len());
                dx.par_chunks_mut(image)
                    .zip(gradient.values.par_chunks(width))
                    .for_each(|(dx, dy)| transpose(&dy[start..start + image], c, h * w, dx));
                back.add(*x, Arc::new(dx));
            }
            start += image;
        }
        Ok(())
    }
}
