//! Attention within the windows of a map.

use crate::engine::{Back, Engine, Gradient, Need, Node, Slot};
use crate::step::Output;
use crate::values::{Value, with_values};
use candle_core::{Result, Tensor, bail};
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::window_attention;
use hydranet_kernels::window_layout::WindowLayout;
use std::sync::Arc;

struct Windows {
    x: usize,
    bias: usize,
    /// Where the map is not made of whole windows.
    filling: Option<usize>,
    layout: WindowLayout,
}

pub(super) fn forward<T: Value>(
    engine: &mut Engine<T>,
    x: usize,
    layout: WindowLayout,
    [bias, filling]: [&Tensor; 2],
) -> Result<Output> {
    let slot = &engine.slots[x];
    let (Some(values), None) = (&slot.values, &slot.transform) else {
        bail!("window attention: expected the result of a linear layer without activation")
    };
    let [batch, h, w, c] = slot.dims;
    let mut y = Buffer::new(values.len() / 3);
    with_values(bias, |bias| {
        with_values(filling, |filling| {
            window_attention::forward(&layout, (values, filling), bias, &mut y);
            Ok(())
        })
    })?;
    let filled = layout.is_filled();
    let tracked = slot.tracked || bias.track_op() || (filled && filling.track_op());
    let slot = Slot::new([batch, h, w, c / 3], y, tracked);
    Ok(engine.give(slot, &[x], |engine, _| Windows {
        x,
        bias: engine.param(bias),
        filling: filled.then(|| engine.param(filling)),
        layout,
    }))
}

impl<T: Value> Node<T> for Windows {
    fn reads(&self) -> Vec<(usize, Need)> {
        vec![(self.x, Need::Exact)]
    }

    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let values = back.slots[self.x].input()?.values;
        let mut dx = Buffer::new(values.len());
        let bias = &back.params[self.bias].tensor;
        let mut run = |filling: &[T]| {
            with_values(bias, |bias| {
                let given = (&values[..], filling);
                let d_out = &gradient.values;
                Ok(window_attention::backward(
                    &self.layout,
                    given,
                    bias,
                    d_out,
                    &mut dx,
                ))
            })
        };
        let (d_bias, d_filling) = match self.filling {
            Some(filling) => with_values(&back.params[filling].tensor, run)?,
            None => run(&[])?,
        };
        back.param(self.bias, d_bias);
        if let Some(filling) = self.filling {
            back.param(filling, d_filling);
        }
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
