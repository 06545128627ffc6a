//! Max-pooling. Each output remembers which of its window's values it took.

use crate::engine::{Back, Engine, Gradient, Node, Slot};
use crate::step::{Output, max_windows};
use crate::values::Value;
use candle_core::Result;
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::pool::{Windows, compare};
use rayon::prelude::*;
use std::sync::Arc;

struct MaxPool {
    x: usize,
    windows: Windows,
    /// For each output its place in the window.
    taken: Vec<u8>,
}

pub(super) fn forward<T: Value>(
    engine: &mut Engine<T>,
    x: usize,
    [kernel, stride, padding]: [usize; 3],
    dims: [usize; 4],
) -> Result<Output> {
    let slot = &engine.slots[x];
    let windows = max_windows(slot.dims, kernel, stride, padding)?;
    let [batch, oh, ow, c] = dims;
    let (input, image, out) = (slot.input()?, slot.image_len(), oh * ow * c);
    let mut y = Buffer::new(batch * out);
    let mut taken = vec![0u8; batch * out];
    y.par_chunks_mut(out)
        .zip(taken.par_chunks_mut(out))
        .enumerate()
        .for_each_init(Vec::new, |scratch, (i, (y, taken))| {
            input.read(i * image..(i + 1) * image, scratch, |x| {
                let places = y.chunks_exact_mut(c).zip(taken.chunks_exact_mut(c));
                for (place, (y, taken)) in places.enumerate() {
                    let mut first = true;
                    windows.each(place / ow, place % ow, |k, at| {
                        let row = &x[at * c..(at + 1) * c];
                        // Where no value is greater than −∞, the first counts as the maximum.
                        if std::mem::take(&mut first) {
                            y.copy_from_slice(row);
                            taken.fill(k);
                        } else {
                            compare(row, k, y, taken);
                        }
                    });
                }
            });
        });
    let slot = Slot::new(dims, y, slot.tracked);
    Ok(engine.give(slot, &[x], |_, _| MaxPool { x, windows, taken }))
}

impl<T: Value> Node<T> for MaxPool {
    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let Windows { rows, cols, c, .. } = self.windows;
        let (image, out) = (rows.len * cols.len * c, rows.out * cols.out * c);
        let mut dx = Buffer::new(back.slots[self.x].len());
        dx.par_chunks_mut(image)
            .zip(gradient.values.par_chunks(out))
            .zip(self.taken.par_chunks(out))
            .for_each(|((dx, dy), taken)| {
                dx.fill(T::ZERO);
                let places = dy.chunks_exact(c).zip(taken.chunks_exact(c));
                for (place, (dy, taken)) in places.enumerate() {
                    let (oy, ox) = (place / cols.out, place % cols.out);
                    self.windows.each(oy, ox, |k, at| {
                        let dx = &mut dx[at * c..(at + 1) * c];
                        for ((dx, dy), taken) in dx.iter_mut().zip(dy).zip(taken) {
                            if *taken == k {
                                *dx += *dy;
                            }
                        }
                    });
                }
            });
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
