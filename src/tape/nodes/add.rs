//! Sums of two maps: residual connections.

use crate::engine::{Back, Engine, Gradient, Node, Slot, piece};
use crate::step::Output;
use crate::values::Value;
use candle_core::Result;
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::columns::{add_scaled, scaled};
use rayon::prelude::*;
use std::sync::Arc;

/// z = x + factor · y, one factor an image.
struct Add<T> {
    x: usize,
    y: usize,
    factors: Option<Vec<T>>,
}

pub(super) fn forward<T: Value>(
    engine: &mut Engine<T>,
    [x, y]: [usize; 2],
    factors: Option<Vec<f32>>,
) -> Result<Output> {
    let (a, b) = (&engine.slots[x], &engine.slots[y]);
    let (first, second) = (a.input()?, b.input()?);
    let factors: Option<Vec<T>> =
        factors.map(|f| f.into_iter().map(|f| T::from_f64(f64::from(f))).collect());
    let (dims, image, len) = (a.dims, a.image_len(), piece(a.dims));
    let tracked = a.tracked || b.tracked;
    let mut z = Buffer::new(a.len());
    z.par_chunks_mut(image).enumerate().for_each(|(i, z)| {
        let factor = factors.as_ref().map_or(T::ONE, |f| f[i]);
        z.par_chunks_mut(len).enumerate().for_each_init(
            || (Vec::new(), Vec::new()),
            |(of_first, of_second), (j, z)| {
                let range = i * image + j * len..i * image + j * len + z.len();
                first.read(range.clone(), of_first, |a| {
                    second.read(range, of_second, |b| add_scaled(a, b, factor, z));
                });
            },
        );
    });
    let slot = Slot::new(dims, z, tracked);
    Ok(engine.give(slot, &[x, y], |_, _| Add { x, y, factors }))
}

impl<T: Value> Node<T> for Add<T> {
    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let values = gradient.values;
        if back.slots[self.y].tracked {
            let scaled_values = match &self.factors {
                None => values.clone(),
                Some(factors) => {
                    let mut own = Buffer::new(values.len());
                    let image = values.len() / factors.len();
                    own.par_chunks_mut(image)
                        .zip(values.par_chunks(image))
                        .zip(factors)
                        .for_each(|((out, v), f)| scaled(v, *f, out));
                    Arc::new(own)
                }
            };
            back.add(self.y, scaled_values);
        }
        back.add(self.x, values);
        Ok(())
    }
}
