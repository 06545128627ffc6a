//! Patches to tokens, and some of them.

use crate::engine::{Back, Engine, Gradient, Node, Slot};
use crate::step::Output;
use crate::values::{Value, with_values};
use candle_core::{Result, Tensor};
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::columns::{add, add_scaled};
use rayon::prelude::*;
use std::sync::Arc;

/// Tokens from patches: the prefix in front, positions added, to the prefix too if there are as many.
struct Tokens {
    x: usize,
    y: usize,
    prefix: usize,
    positions: usize,
}

/// Some tokens of each image, from `place` on.
struct Token {
    x: usize,
    place: usize,
}

/// `prefix` `(1, p, channels)` before the positions of each image, `positions` `(1, p + H · W, channels)` added, or
/// `(1, H · W, channels)` to those behind the prefix.
pub(super) fn forward<T: Value>(
    engine: &mut Engine<T>,
    x: usize,
    [prefix, positions]: [&Tensor; 2],
    dims: [usize; 4],
) -> Result<Output> {
    let slot = &engine.slots[x];
    let (input, image) = (slot.input()?, slot.image_len());
    let [batch, _, n, c] = dims;
    let of_prefix = n * c - image;
    let embedded = positions.elem_count() == n * c;
    let mut y = Buffer::new(batch * n * c);
    with_values(prefix, |prefix: &[T]| {
        with_values(positions, |positions: &[T]| {
            y.par_chunks_mut(n * c)
                .enumerate()
                .for_each_init(Vec::new, |scratch, (i, y)| {
                    let (first, rest) = y.split_at_mut(of_prefix);
                    let (before, behind) = positions.split_at(positions.len() - image);
                    if embedded {
                        add_scaled(prefix, before, T::ONE, first)
                    } else {
                        first.copy_from_slice(prefix)
                    }
                    input.read(i * image..(i + 1) * image, scratch, |x| {
                        add_scaled(x, behind, T::ONE, rest);
                    });
                });
            Ok(())
        })
    })?;
    let tracked = slot.tracked || prefix.track_op() || positions.track_op();
    Ok(
        engine.give(Slot::new(dims, y, tracked), &[x], |engine, y| Tokens {
            x,
            y,
            prefix: engine.param(prefix),
            positions: engine.param(positions),
        }),
    )
}

/// Tokens of each image from `place` on, as a map of these dimensions.
pub(super) fn some<T: Value>(
    engine: &mut Engine<T>,
    x: usize,
    place: usize,
    dims: [usize; 4],
) -> Result<Output> {
    let slot = &engine.slots[x];
    let [batch, _, count, c] = dims;
    let (input, len) = (slot.input()?, count * c);
    let mut y = Buffer::new(batch * len);
    for (i, y) in y.chunks_exact_mut(len).enumerate() {
        let from = i * slot.image_len() + place * c;
        input.copy(from..from + len, y);
    }
    let slot = Slot::new(dims, y, slot.tracked);
    Ok(engine.give(slot, &[x], |_, _| Token { x, place }))
}

impl<T: Value> Node<T> for Tokens {
    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let [_, _, n, c] = back.slots[self.y].dims;
        let slot = &back.slots[self.x];
        let of_prefix = n * c - slot.image_len();
        // Images in order, so that the sum does not depend on the threads.
        let mut positions = vec![T::ZERO; n * c];
        for image in gradient.values.chunks_exact(n * c) {
            add(image, &mut positions);
        }
        back.param(self.prefix, positions[..of_prefix].to_vec());
        let first = n * c - back.params[self.positions].tensor.elem_count();
        back.param(self.positions, positions.split_off(first));
        if !slot.tracked {
            return Ok(());
        }
        let mut dx = Buffer::new(slot.len());
        for (dx, dy) in dx
            .chunks_exact_mut(slot.image_len())
            .zip(gradient.values.chunks_exact(n * c))
        {
            dx.copy_from_slice(&dy[of_prefix..]);
        }
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}

impl<T: Value> Node<T> for Token {
    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let slot = &back.slots[self.x];
        let (from, image) = (self.place * slot.dims[3], slot.image_len());
        let len = gradient.values.len() / slot.dims[0];
        let mut dx = Buffer::new(slot.len());
        dx.par_chunks_mut(image)
            .zip(gradient.values.par_chunks(len))
            .for_each(|(dx, dy)| {
                dx.fill(T::ZERO);
                dx[from..from + len].copy_from_slice(dy);
            });
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
