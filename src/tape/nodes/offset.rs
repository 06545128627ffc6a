//! A tensor added to a map, to ask for the gradient there.

use crate::engine::{Back, Engine, Gradient, Node, Slot};
use crate::step::Output;
use crate::values::{Value, with_values};
use candle_core::{Result, Tensor};
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::columns::add_scaled;

struct Offset {
    x: usize,
    offset: usize,
}

pub(super) fn forward<T: Value>(
    engine: &mut Engine<T>,
    x: usize,
    offset: &Tensor,
) -> Result<Output> {
    let slot = &engine.slots[x];
    let (input, dims, len) = (slot.input()?, slot.dims, slot.len());
    let mut y = Buffer::new(len);
    with_values(offset, |offset: &[T]| {
        input.read(0..len, &mut Vec::new(), |x| {
            add_scaled(x, offset, T::ONE, &mut y)
        });
        Ok(())
    })?;
    let tracked = slot.tracked || offset.track_op();
    let slot = Slot::new(dims, y, tracked);
    Ok(engine.give(slot, &[x], |engine, _| Offset {
        x,
        offset: engine.param(offset),
    }))
}

impl<T: Value> Node<T> for Offset {
    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        back.param(self.offset, gradient.values.to_vec());
        if back.slots[self.x].tracked {
            back.add(self.x, gradient.values);
        }
        Ok(())
    }
}
