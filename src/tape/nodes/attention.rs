//! Attention of every image's positions to each other.

use crate::engine::{Back, Engine, Gradient, Need, Node, Slot};
use crate::step::Output;
use crate::values::Value;
use candle_core::{Result, bail};
use hydranet_kernels::attention_heads::{self, Sizes};
use hydranet_kernels::buffer::Buffer;
use std::sync::Arc;

/// Attention over a map of queries, keys and values, (3, heads, dim) at each token.
struct Attention<T> {
    x: usize,
    sizes: Sizes,
    notes: Vec<T>,
}

pub(super) fn forward<T: Value>(engine: &mut Engine<T>, x: usize, heads: usize) -> Result<Output> {
    let slot = &engine.slots[x];
    let [batch, h, w, c] = slot.dims;
    let (Some(values), None) = (&slot.values, &slot.transform) else {
        bail!("attention: expected the result of a linear layer without activation")
    };
    let sizes = Sizes {
        batch,
        heads,
        tokens: h * w,
        dim: c / 3 / heads,
    };
    let mut y = Buffer::new(values.len() / 3);
    let notes = attention_heads::forward(sizes, values, &mut y);
    let slot = Slot::new([batch, h, w, c / 3], y, slot.tracked);
    Ok(engine.give(slot, &[x], |_, _| Attention { x, sizes, notes }))
}

impl<T: Value> Node<T> for Attention<T> {
    fn reads(&self) -> Vec<(usize, Need)> {
        vec![(self.x, Need::Exact)]
    }

    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let values = back.slots[self.x].input()?.values;
        let mut dx = Buffer::new(values.len());
        attention_heads::backward(self.sizes, values, &self.notes, &gradient.values, &mut dx);
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
