//! An activation, done whenever its map is read.

use crate::engine::{Back, Engine, Gradient, Need, Node, Slot, piece};
use crate::step::Output;
use crate::values::Value;
use candle_core::{Result, bail};
use hydranet_kernels::activation::Activation;
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::columns::{EpilogueGrad, Transform, pattern};
use rayon::prelude::*;
use std::sync::Arc;

struct Curve<T> {
    x: usize,
    y: usize,
    gradient: EpilogueGrad<T>,
}

pub(super) fn forward<T: Value>(
    engine: &mut Engine<T>,
    x: usize,
    activation: Activation,
) -> Result<Output> {
    let slot = &engine.slots[x];
    let (dims, tracked, channels) = (slot.dims, slot.tracked, slot.dims[3]);
    let constant = |v: f64| pattern(std::iter::repeat_n(v, channels));
    let transform = Transform::new(constant(1.0), constant(0.0), activation);
    let values = match (&slot.values, &slot.transform) {
        (Some(values), None) => values.clone(),
        // What is done already to the values when they are read has to be done before.
        _ => {
            let input = slot.input()?;
            let mut y = Buffer::new(slot.len());
            let len = piece(dims);
            y.par_chunks_mut(len).enumerate().for_each(|(i, y)| {
                input.copy(i * len..i * len + y.len(), y);
            });
            Arc::new(y)
        }
    };
    let mut slot = Slot::sharing(dims, values, tracked);
    slot.transform = Some(Arc::new(transform.clone()));
    Ok(engine.give(slot, &[x], |_, y| Curve {
        x,
        y,
        gradient: EpilogueGrad {
            transform,
            mean: constant(0.0),
            offset: constant(0.0),
            slope: constant(0.0),
        },
    }))
}

impl<T: Value> Node<T> for Curve<T> {
    fn reads(&self) -> Vec<(usize, Need)> {
        vec![(self.y, Need::Rounded)]
    }

    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let slot = &back.slots[self.y];
        let Some(values) = &slot.values else {
            bail!("activation: its values were freed before backward")
        };
        let mut dx = Buffer::new(values.len());
        let len = piece(slot.dims);
        dx.par_chunks_mut(len)
            .zip(values.par_chunks(len))
            .zip(gradient.values.par_chunks(len))
            .for_each(|((dx, y), dz)| self.gradient.apply(y, dz, dx));
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
