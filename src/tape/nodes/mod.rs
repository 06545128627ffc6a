//! A tape's steps on the CPU's kernels: each works at once and leaves a node that knows the way back.

mod activation;
mod add;
mod attention;
mod avg_pool;
mod conv;
mod fused;
mod gate;
mod layer_norm;
mod max_pool;
mod mean;
mod merge;
mod offset;
mod response;
mod row;
mod tokens;
mod windows;

use crate::engine::Engine;
use crate::epilogue::FusedConv;
use crate::graph::{channels_first, linked};
use crate::step::{Interpreter, Output, Step};
use crate::values::Value;
use crate::watch::Watch;
use candle_core::{Result, Tensor};
use hydranet_kernels::tasks::in_pool;
use std::sync::Arc;

impl<T: Value> Engine<T> {
    fn done(&mut self, step: Step, dims: [usize; 4]) -> Result<Output> {
        match step {
            Step::Conv { x, conv } => conv::forward(self, x, &conv),
            Step::LayerNorm(norm) => layer_norm::forward(self, &norm),
            Step::ResponseNorm(norm) => response::forward(self, &norm),
            Step::Activation { x, activation } => activation::forward(self, x, activation),
            Step::Attention { x, heads } => attention::forward(self, x, heads),
            Step::WindowAttention {
                x,
                layout,
                bias,
                filling,
            } => windows::forward(self, x, layout, [&bias, &filling]),
            Step::Merge { x } => merge::forward(self, x, dims),
            Step::Tokens {
                x,
                prefix,
                positions,
            } => tokens::forward(self, x, [&prefix, &positions], dims),
            Step::Token { x, place, .. } => tokens::some(self, x, place, dims),
            Step::Add { x, y, factors } => add::forward(self, [x, y], factors),
            Step::GlobalAvgPool { x } => mean::forward(self, x),
            Step::ScaleChannels { x, gate } => gate::forward(self, x, gate),
            Step::Offset { x, offset } => offset::forward(self, x, &offset),
            Step::Row { maps } => row::forward(self, maps, dims),
            Step::AvgPool { x, params } => avg_pool::forward(self, x, params, dims),
            Step::MaxPool {
                x,
                kernel,
                stride,
                padding,
            } => max_pool::forward(self, x, [kernel, stride, padding], dims),
        }
    }
}

impl<T: Value> Interpreter for Engine<T> {
    fn step(&mut self, step: Step, dims: [usize; 4]) -> Result<Output> {
        match step {
            // May wait for other parts of its batch, outside the pool.
            Step::Conv { x, conv } if conv.epilogue.is_of_batch() => conv::forward(self, x, &conv),
            step => in_pool(|| self.done(step, dims)),
        }
    }

    fn chain(
        &mut self,
        x: usize,
        convs: &[FusedConv],
        shortcut: bool,
    ) -> Result<Option<([usize; 4], Output)>> {
        fused::forward(self, x, convs, shortcut)
    }

    fn sweep(&mut self) {
        self.free();
    }

    fn round_kept_values(&mut self) {
        self.rounds = true;
    }

    fn set_watch(&mut self, watch: &Arc<dyn Watch>) -> Result<()> {
        self.watch = Some(watch.clone());
        Ok(())
    }

    fn tensor(&self, place: usize) -> Result<Tensor> {
        let slot = &self.slots[place];
        let [batch, h, w, c] = slot.dims;
        T::tensor(channels_first(slot)?, &[batch, c, h, w])
    }

    fn finish(self: Box<Self>, place: usize) -> Result<Tensor> {
        if self.slots[place].tracked {
            linked(*self, place)
        } else {
            self.tensor(place)
        }
    }
}
