//! Squares of four positions become one with four times the channels (Liu et al. 2021, "Swin Transformer").

use crate::engine::{Back, Engine, Gradient, Node, Slot};
use crate::step::Output;
use crate::values::Value;
use candle_core::Result;
use hydranet_kernels::buffer::Buffer;
use rayon::prelude::*;
use std::sync::Arc;

struct Merge {
    x: usize,
}

/// (row, column) of the four positions of a square in the order of their channels: down before right.
const ORDER: [(usize, usize); 4] = [(0, 0), (1, 0), (0, 1), (1, 1)];

/// A map of odd height or width is continued by zeros.
pub(super) fn forward<T: Value>(
    engine: &mut Engine<T>,
    x: usize,
    dims: [usize; 4],
) -> Result<Output> {
    let slot = &engine.slots[x];
    let ([_, h, w, c], input) = (slot.dims, slot.input()?);
    let row = dims[2] * dims[3];
    let mut y = Buffer::new(dims.iter().product());
    y.par_chunks_mut(row)
        .enumerate()
        .for_each_init(Vec::new, |scratch, (i, y)| {
            let (image, top) = (i / dims[1], 2 * (i % dims[1]));
            for down in 0..2 {
                let parts = || (0..4).filter(|part| ORDER[*part].0 == down);
                if top + down == h {
                    for part in parts() {
                        y.chunks_exact_mut(c)
                            .skip(part)
                            .step_by(4)
                            .for_each(|y| y.fill(T::ZERO));
                    }
                    continue;
                }
                let from = (image * h + top + down) * w * c;
                input.read(from..from + w * c, scratch, |x| {
                    for part in parts() {
                        let mut x = x.chunks_exact(c).skip(ORDER[part].1).step_by(2);
                        for y in y.chunks_exact_mut(c).skip(part).step_by(4) {
                            match x.next() {
                                Some(x) => y.copy_from_slice(x),
                                None => y.fill(T::ZERO),
                            }
                        }
                    }
                });
            }
        });
    let slot = Slot::new(dims, y, slot.tracked);
    Ok(engine.give(slot, &[x], |_, _| Merge { x }))
}

impl<T: Value> Node<T> for Merge {
    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let dims = back.slots[self.x].dims;
        let [_, h, w, c] = dims;
        let row = w.div_ceil(2) * 4 * c;
        let mut dx = Buffer::new(dims.iter().product());
        dx.par_chunks_mut(w * c).enumerate().for_each(|(i, dx)| {
            let (image, r) = (i / h, i % h);
            let dy = &gradient.values[(image * h.div_ceil(2) + r / 2) * row..][..row];
            for (part, _) in ORDER.iter().enumerate().filter(|(_, o)| o.0 == r % 2) {
                let dx = dx.chunks_exact_mut(c).skip(ORDER[part].1).step_by(2);
                for (dx, dy) in dx.zip(dy.chunks_exact(c).skip(part).step_by(4)) {
                    dx.copy_from_slice(dy);
                }
            }
        });
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
