//! Blocks of transformers. Tensors are named as in timm.

use crate::layers::{LayerNorm, Linear, Mode, SMALL, residual};
use crate::tape::{Activation, Map, Tape, WindowAttention};
use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};

/// Attention and a perceptron of two layers, each behind a norm and beside a shortcut.
pub(super) struct Block {
    norms: [LayerNorm; 2],
    qkv: Linear,
    heads: usize,
    windows: Option<Within>,
    projection: Linear,
    wide: Linear,
    narrow: Linear,
    /// What the results of attention and perceptron are scaled by, channel by channel.
    scales: Option<[Tensor; 2]>,
    drop_path: f32,
    index: u64,
}

/// Within which windows of a map attention is.
pub(super) struct Within {
    pub side: usize,
    pub shift: usize,
    /// What is added to the scores, by distance.
    pub bias: Tensor,
}

impl Block {
    /// A block over maps of `width` channels; `eps` is added to the variance by its norms.
    pub(super) fn new(
        width: usize,
        heads: usize,
        eps: f64,
        vb: &VarBuilder,
        drop_path: f32,
        index: u64,
    ) -> Result<Self> {
        let norm = |name| LayerNorm::new(width, eps, vb.pp(name));
        let linear = |from, to, name| Linear::with_init(from, to, SMALL, vb.pp(name));
        Ok(Self {
            norms: [norm("norm1")?, norm("norm2")?],
            qkv: linear(width, 3 * width, "attn.qkv")?,
            heads,
            windows: None,
            projection: linear(width, width, "attn.proj")?,
            wide: linear(width, 4 * width, "mlp.fc1")?,
            narrow: linear(4 * width, width, "mlp.fc2")?,
            scales: None,
            drop_path,
            index,
        })
    }

    /// The same with attention within windows only.
    pub(super) fn within(self, windows: Within) -> Self {
        Self {
            windows: Some(windows),
            ..self
        }
    }

    /// The same with the results of attention and perceptron scaled by tensors that begin with a value.
    pub(super) fn scaled(self, width: usize, init: f64, vb: &VarBuilder) -> Result<Self> {
        let scale = |name| vb.get_with_hints(width, name, Init::Const(init));
        let scales = [scale("ls1.gamma")?, scale("ls2.gamma")?];
        Ok(Self {
            scales: Some(scales),
            ..self
        })
    }

    fn attention(&self, tape: &mut Tape, qkv: &Map) -> Result<Map> {
        let Some(Within { side, shift, bias }) = &self.windows else {
            return tape.attention(qkv, self.heads);
        };
        let attention = WindowAttention {
            heads: self.heads,
            side: *side,
            shift: *shift,
            bias,
            filling: self.qkv.bias(),
        };
        tape.window_attention(qkv, &attention)
    }

    /// The last layer of the attention (0) or of the perceptron (1).
    fn last(&self, tape: &mut Tape, x: &Map, branch: usize) -> Result<Map> {
        let layer = [&self.projection, &self.narrow][branch];
        match &self.scales {
            None => layer.on_tape(tape, x, Activation::Identity),
            Some(scales) => layer.on_tape_scaled(tape, x, &scales[branch]),
        }
    }

    pub(super) fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let [first, second] = &self.norms;
        let y = first.forward(tape, x)?;
        let y = self.qkv.on_tape(tape, &y, Activation::Identity)?;
        let y = self.attention(tape, &y)?;
        let y = self.last(tape, &y, 0)?;
        let x = residual(tape, x, &y, self.drop_path, mode, 2 * self.index)?;
        let y = second.forward(tape, &x)?;
        let y = self.wide.on_tape(tape, &y, Activation::Gelu)?;
        let y = self.last(tape, &y, 1)?;
        residual(tape, &x, &y, self.drop_path, mode, 2 * self.index + 1)
    }
}
