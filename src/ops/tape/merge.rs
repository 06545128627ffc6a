//! Squares of four positions become one with four times the channels (Liu et al. 2021, "Swin Transformer"), as a step of a tape.

use super::engine::{Back, Engine, Node, Slot};
use super::join::read;
use crate::buffer::Buffer;
use crate::simd::Real;
use candle_core::{Result, bail};
use rayon::prelude::*;
use std::sync::Arc;

struct Merge {
    x: usize,
    y: usize,
}

/// (row, column) of the four positions of a square in the order of their channels: down before right.
const ORDER: [(usize, usize); 4] = [(0, 0), (1, 0), (0, 1), (1, 1)];

impl<T: Real> Engine<T> {
    /// Adds the merging of squares; a map of odd height or width is continued by zeros.
    pub(crate) fn merge(&mut self, x: usize) -> Result<(usize, Arc<()>)> {
        let slot = &self.slots[x];
        let [batch, h, w, c] = slot.dims;
        if slot.values.is_none() || h * w * c == 0 {
            bail!(
                "merging of squares: expected a map that is not empty, found {h} × {w} of {c} channels"
            )
        }
        let dims = [batch, h.div_ceil(2), w.div_ceil(2), 4 * c];
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
                    read(slot, from..from + w * c, scratch, |x| {
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
        let tracked = slot.tracked;
        let place = self.push(Slot::new(dims, y, tracked));
        if tracked {
            self.slots[x].readers += 1;
            self.record(Merge { x, y: place.0 });
        }
        Ok(place)
    }
}

impl<T: Real> Node<T> for Merge {
    fn result(&self) -> usize {
        self.y
    }

    fn backward(&self, back: &mut Back<T>) -> Result<()> {
        let Some(gradient) = back.take(self.y) else {
            back.skip(self.x);
            return Ok(());
        };
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
