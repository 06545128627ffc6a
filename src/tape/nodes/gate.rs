//! Channels of each image scaled by factors of its own: the last step of squeeze-and-excitation.

use crate::engine::{Back, Engine, Gradient, Need, Node, Slot, piece};
use crate::step::Output;
use crate::values::Value;
use candle_core::Result;
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::columns::{in_order, multiply, pattern, products};
use rayon::prelude::*;
use std::ops::Add;
use std::sync::Arc;

/// z = x · gate, one factor for each channel of each image.
struct Gate {
    x: usize,
    gate: usize,
}

/// What readers see of a map of 1 × 1.
fn factors<T: Value>(slot: &Slot<T>) -> Result<Vec<T>> {
    let mut out = vec![T::ZERO; slot.len()];
    slot.input()?.copy(0..slot.len(), &mut out);
    Ok(out)
}

/// `f(piece's first value, piece, the image's factors as a pattern)` for all pieces of a map.
fn each_piece<T: Value>(
    values: &mut [T],
    dims: [usize; 4],
    factors: &[T],
    f: impl Fn(usize, &mut [T], &[T]) + Sync,
) {
    let [_, h, w, c] = dims;
    let (image, len) = (h * w * c, piece(dims));
    values
        .par_chunks_mut(image)
        .zip(factors.par_chunks(c))
        .enumerate()
        .for_each(|(i, (values, factors))| {
            let factors = pattern(factors.iter().map(|f| f.to_f64()));
            values
                .par_chunks_mut(len)
                .enumerate()
                .for_each(|(j, values)| f(i * image + j * len, values, &factors));
        });
}

pub(super) fn forward<T: Value>(engine: &mut Engine<T>, x: usize, gate: usize) -> Result<Output> {
    let (a, b) = (&engine.slots[x], &engine.slots[gate]);
    let (dims, tracked) = (a.dims, a.tracked || b.tracked);
    let factors = factors(b)?;
    // Nobody will read the map again: its memory serves for the result.
    let own = if a.is_unreachable() && !tracked && a.readers == 0 {
        engine.slots[x].values.take()
    } else {
        None
    };
    let own = own.and_then(|values| match Arc::try_unwrap(values) {
        Ok(values) => Some(values),
        // Another map's values too.
        Err(shared) => {
            engine.slots[x].values = Some(shared);
            None
        }
    });
    let slot = &engine.slots[x];
    let z = match own {
        Some(mut z) => {
            each_piece(&mut z, dims, &factors, |_, z, factors| {
                if let Some(t) = &slot.transform {
                    t.apply_in_place(z);
                }
                multiply(z, factors);
            });
            z
        }
        None => {
            let input = slot.input()?;
            let mut z = Buffer::new(slot.len());
            each_piece(&mut z, dims, &factors, |at, z, factors| {
                input.copy(at..at + z.len(), z);
                multiply(z, factors);
            });
            z
        }
    };
    let slot = Slot::new(dims, z, tracked);
    Ok(engine.give(slot, &[x, gate], |_, _| Gate { x, gate }))
}

impl<T: Value> Node<T> for Gate {
    fn reads(&self) -> Vec<(usize, Need)> {
        vec![(self.x, Need::Rounded), (self.gate, Need::Rounded)]
    }

    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let values = gradient.values;
        let (x, gate) = (&back.slots[self.x], &back.slots[self.gate]);
        let (dims, c) = (x.dims, x.dims[3]);
        let factors = factors(gate)?;
        if gate.tracked {
            let (input, image, len) = (x.input()?, x.image_len(), piece(dims));
            let pieces = image.div_ceil(len);
            let found: Vec<Vec<f64>> = (0..dims[0] * pieces)
                .into_par_iter()
                .map_init(Vec::new, |scratch, i| {
                    let (at, from) = (i / pieces * image, i % pieces * len);
                    let range = at + from..at + (from + len).min(image);
                    let mut found = Vec::new();
                    input.read(range.clone(), scratch, |x| {
                        found = products(x, &values[range], c);
                    });
                    found
                })
                .collect();
            let mut d_gate = Buffer::new(factors.len());
            for (d, pieces) in d_gate.chunks_mut(c).zip(found.chunks(pieces)) {
                for (d, sum) in d.iter_mut().zip(in_order(pieces, c, Add::add)) {
                    *d = T::from_f64(sum);
                }
            }
            back.add(self.gate, Arc::new(d_gate));
        }
        if !x.tracked {
            return Ok(());
        }
        let dx = match Arc::try_unwrap(values) {
            Ok(mut dx) => {
                each_piece(&mut dx, dims, &factors, |_, dx, f| multiply(dx, f));
                dx
            }
            Err(shared) => {
                let mut dx = Buffer::new(shared.len());
                each_piece(&mut dx, dims, &factors, |at, dx, f| {
                    dx.copy_from_slice(&shared[at..at + dx.len()]);
                    multiply(dx, f);
                });
                dx
            }
        };
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
