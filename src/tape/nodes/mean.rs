//! The mean over all positions.

use crate::engine::{Back, Engine, Gradient, Node, Slot, piece};
use crate::step::Output;
use crate::values::Value;
use candle_core::Result;
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::columns::{add, in_order, pattern, total};
use rayon::prelude::*;
use std::ops::Add;
use std::sync::Arc;

/// The mean over the positions of x.
struct Mean {
    x: usize,
}

pub(super) fn forward<T: Value>(engine: &mut Engine<T>, x: usize) -> Result<Output> {
    let slot = &engine.slots[x];
    let [batch, h, w, c] = slot.dims;
    let (input, image, len) = (slot.input()?, slot.image_len(), piece(slot.dims));
    let pieces = image.div_ceil(len);
    // Few positions at a time in T, then joined in f64.
    let found: Vec<Vec<f64>> = (0..batch * pieces)
        .into_par_iter()
        .map_init(Vec::new, |scratch, i| {
            let (at, from) = (i / pieces * image, i % pieces * len);
            let mut found = Vec::new();
            let range = at + from..at + (from + len).min(image);
            input.read(range, scratch, |rows| found = total(rows, c));
            found
        })
        .collect();
    let mut y = Buffer::new(batch * c);
    for (y, pieces) in y.chunks_mut(c).zip(found.chunks(pieces)) {
        for (y, sum) in y.iter_mut().zip(in_order(pieces, c, Add::add)) {
            *y = T::from_f64(sum / (h * w) as f64);
        }
    }
    let slot = Slot::new([batch, 1, 1, c], y, slot.tracked);
    Ok(engine.give(slot, &[x], |_, _| Mean { x }))
}

impl<T: Value> Node<T> for Mean {
    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let slot = &back.slots[self.x];
        let [_, h, w, c] = slot.dims;
        let share = 1.0 / (h * w) as f64;
        let len = piece(slot.dims);
        let so_far = back.so_far(self.x);
        let first = so_far.is_none();
        let mut dx = so_far.unwrap_or_else(|| Buffer::new(slot.len()));
        dx.par_chunks_mut(h * w * c)
            .zip(gradient.values.par_chunks(c))
            .for_each(|(dx, dy)| {
                let row: Vec<T> = pattern(dy.iter().map(|d| d.to_f64() * share));
                dx.par_chunks_mut(len).for_each(|dx| {
                    for dx in dx.chunks_mut(row.len()) {
                        if first {
                            dx.copy_from_slice(&row[..dx.len()])
                        } else {
                            add(&row, dx)
                        }
                    }
                });
            });
        let values = Arc::new(dx);
        back.put(self.x, Gradient { values, sums: None });
        Ok(())
    }
}
