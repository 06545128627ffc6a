//! ResNet (He et al. 2015) of basic blocks. Tensors are named as in timm.

use super::Backbone;
use crate::layers::{ConvNormAct, ConvNormActConfig, Mode, Padding, residual};
use crate::ops::{Activation, Map, Tape};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// A ResNet.
pub struct ResNet {
    stem: ConvNormAct,
    blocks: Vec<Block>,
}

/// Two 3 × 3 convolutions beside a shortcut.
struct Block {
    convs: [ConvNormAct; 2],
    shortcut: Option<ConvNormAct>,
    drop_path: f32,
    index: u64,
}

/// Channels of the four stages.
const CHANNELS: [usize; 4] = [64, 128, 256, 512];

fn conv(
    (inputs, outputs): (usize, usize),
    (kernel, stride): (usize, usize),
    activation: Activation,
    conv: VarBuilder,
    norm: VarBuilder,
) -> Result<ConvNormAct> {
    let config = ConvNormActConfig {
        inputs,
        outputs,
        kernel,
        stride,
        groups: 1,
        padding: Padding::Symmetric,
        activation,
        eps: 1e-5,
        momentum: 0.1,
    };
    ConvNormAct::new(config, conv, norm)
}

impl ResNet {
    /// ResNet-18 over tensors named as in timm's `resnet18`.
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn resnet18(vb: VarBuilder, drop_path: f32) -> Result<Self> {
        let relu = Activation::Relu;
        let stem = conv((3, 64), (7, 2), relu, vb.pp("conv1"), vb.pp("bn1"))?;
        let repeats = 2;
        let count = CHANNELS.len() * repeats;
        let mut blocks = Vec::new();
        let mut inputs = 64;
        for (s, outputs) in CHANNELS.into_iter().enumerate() {
            for b in 0..repeats {
                let vb = vb.pp(format!("layer{}.{b}", s + 1));
                let stride = if s > 0 && b == 0 { 2 } else { 1 };
                let shortcut = match stride == 1 && inputs == outputs {
                    true => None,
                    false => {
                        let vb = vb.pp("downsample");
                        let sizes = (inputs, outputs);
                        Some(conv(
                            sizes,
                            (1, stride),
                            Activation::Identity,
                            vb.pp(0),
                            vb.pp(1),
                        )?)
                    }
                };
                let index = blocks.len();
                blocks.push(Block {
                    convs: [
                        conv(
                            (inputs, outputs),
                            (3, stride),
                            relu,
                            vb.pp("conv1"),
                            vb.pp("bn1"),
                        )?,
                        conv(
                            (outputs, outputs),
                            (3, 1),
                            Activation::Identity,
                            vb.pp("conv2"),
                            vb.pp("bn2"),
                        )?,
                    ],
                    shortcut,
                    drop_path: drop_path * index as f32 / (count - 1) as f32,
                    index: index as u64,
                });
                inputs = outputs;
            }
        }
        Ok(Self { stem, blocks })
    }
}

impl Block {
    fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let [first, second] = &self.convs;
        let y = first.forward(tape, x, mode)?;
        let y = second.forward(tape, &y, mode)?;
        let shortcut = match &self.shortcut {
            Some(conv) => conv.forward(tape, x, mode)?,
            None => x.clone(),
        };
        let sum = residual(tape, &shortcut, &y, self.drop_path, mode, self.index)?;
        tape.activation(&sum, Activation::Relu)
    }
}

impl Backbone for ResNet {
    fn num_features(&self) -> usize {
        512
    }

    fn features(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let (mut tape, x) = Tape::new(images)?;
        let x = self.stem.forward(&mut tape, &x, mode)?;
        let mut x = tape.max_pool(&x, 3, 2, 1)?;
        for block in &self.blocks {
            x = block.forward(&mut tape, &x, mode)?;
        }
        let x = tape.global_avg_pool(&x)?;
        tape.finish(&x)?.flatten_from(1)
    }
}
