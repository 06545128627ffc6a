//! ConvNeXt (Liu et al. 2022). Tensors are named as in timm.

use super::{Each, IMAGENET, Network, Variant, numbered};
use crate::input::Interpolation;
use crate::layers::{Conv, ConvConfig, LayerNorm, Mode, Padding, residual};
use crate::ops::{Activation, Map, Tape};
use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};

/// A ConvNeXt.
pub(super) struct ConvNext {
    stages: Vec<Stage>,
    norm: LayerNorm,
}

/// A smaller image with more channels, and blocks over it.
struct Stage {
    /// The norm before the convolution that makes the image smaller; the stem has its norm behind it.
    norm: LayerNorm,
    smaller: Conv,
    blocks: Vec<Block>,
}

/// Depthwise convolution, norm, and two pointwise convolutions whose result is scaled channel by channel.
struct Block {
    depthwise: Conv,
    norm: LayerNorm,
    wide: Conv,
    narrow: Conv,
    gamma: Tensor,
    drop_path: f32,
    index: u64,
}

pub(super) const VARIANTS: &[Variant] = &[Variant {
    name: "convnext_atto",
    tag: "d2_in1k",
    num_features: 320,
    side: 224,
    crop_pct: 0.875,
    interpolation: Interpolation::Bicubic,
    norm: IMAGENET,
    stages: || {
        let mut stages = numbered(&["stem."], "stages.", 4, &[]);
        stages[4].push("head.norm.".into());
        stages
    },
    build: |vb, drop_path| Ok(Box::new(ConvNext::new(vb, drop_path)?)),
}];

const EPS: f64 = 1e-6;

/// (repeats, channels) of the four stages of ConvNeXt-Atto (Wightman 2022).
const ATTO: [(usize, usize); 4] = [(2, 40), (2, 80), (6, 160), (2, 320)];

fn pointwise(
    (inputs, outputs): (usize, usize),
    activation: Activation,
    vb: VarBuilder,
) -> Result<Conv> {
    let config = ConvConfig {
        inputs,
        outputs,
        kernel: 1,
        stride: 1,
        groups: 1,
        padding: Padding::None,
        activation,
    };
    Conv::new(config, vb)
}

impl ConvNext {
    fn new(vb: &VarBuilder, drop_path: f32) -> Result<Self> {
        let count: usize = ATTO.iter().map(|s| s.0).sum();
        let (mut inputs, mut index) = (3, 0);
        let mut stages = Vec::new();
        for (s, (repeats, channels)) in ATTO.into_iter().enumerate() {
            let stage = vb.pp(format!("stages.{s}"));
            let (conv, norm, kernel) = match s {
                0 => (
                    vb.pp("stem.0"),
                    LayerNorm::new(channels, EPS, vb.pp("stem.1"))?,
                    4,
                ),
                _ => (
                    stage.pp("downsample.1"),
                    LayerNorm::new(inputs, EPS, stage.pp("downsample.0"))?,
                    2,
                ),
            };
            let smaller = ConvConfig {
                inputs,
                outputs: channels,
                kernel,
                stride: kernel,
                groups: 1,
                padding: Padding::None,
                activation: Activation::Identity,
            };
            let mut blocks = Vec::new();
            for b in 0..repeats {
                let vb = stage.pp(format!("blocks.{b}"));
                let depthwise = ConvConfig {
                    inputs: channels,
                    outputs: channels,
                    kernel: 7,
                    stride: 1,
                    groups: channels,
                    padding: Padding::Symmetric,
                    activation: Activation::Identity,
                };
                let wide = 4 * channels;
                blocks.push(Block {
                    depthwise: Conv::new(depthwise, vb.pp("conv_dw"))?,
                    norm: LayerNorm::new(channels, EPS, vb.pp("norm"))?,
                    wide: pointwise((channels, wide), Activation::Gelu, vb.pp("mlp.fc1"))?,
                    narrow: pointwise((wide, channels), Activation::Identity, vb.pp("mlp.fc2"))?,
                    gamma: vb.get_with_hints(channels, "gamma", Init::Const(1e-6))?,
                    drop_path: drop_path * index as f32 / (count - 1) as f32,
                    index,
                });
                index += 1;
            }
            stages.push(Stage {
                norm,
                smaller: Conv::new(smaller, conv)?,
                blocks,
            });
            inputs = channels;
        }
        Ok(Self {
            stages,
            norm: LayerNorm::new(inputs, EPS, vb.pp("head.norm"))?,
        })
    }
}

impl Block {
    fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let y = self.depthwise.forward(tape, x)?;
        let y = self.norm.forward(tape, &y)?;
        let y = self.wide.forward(tape, &y)?;
        let y = self.narrow.forward_scaled(tape, &y, &self.gamma)?;
        residual(tape, x, &y, self.drop_path, mode, self.index)
    }
}

impl Network for ConvNext {
    fn run(&self, tape: &mut Tape, images: &Map, mode: Mode, each: &mut Each) -> Result<Map> {
        let mut x = images.clone();
        for (s, stage) in self.stages.iter().enumerate() {
            x = match s {
                0 => {
                    let x = stage.smaller.forward(tape, &x)?;
                    let x = stage.norm.forward(tape, &x)?;
                    each(tape, &x)?;
                    x
                }
                _ => {
                    let x = stage.norm.forward(tape, &x)?;
                    stage.smaller.forward(tape, &x)?
                }
            };
            for block in &stage.blocks {
                x = block.forward(tape, &x, mode)?;
            }
            each(tape, &x)?;
        }
        let x = tape.global_avg_pool(&x)?;
        self.norm.forward(tape, &x)
    }
}
