//! ConvNeXt (Liu et al. 2022; its small variants Wightman 2022) and ConvNeXt V2 (Woo et al. 2023). Tensors are named as in timm.

use super::{Each, IMAGENET, Network, Variant, numbered};
use crate::input::Interpolation;
use crate::layers::{Conv, ConvConfig, LayerNorm, Linear, Mode, Padding, SMALL, residual};
use crate::tape::{Activation, Map, Tape};
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
    blocks: Vec<ConvNextBlock>,
}

/// Depthwise convolution, norm, and two pointwise convolutions.
struct ConvNextBlock {
    depthwise: Conv,
    norm: LayerNorm,
    wide: Linear,
    narrow: Linear,
    extra: Extra,
    drop_path: f32,
    index: u64,
}

/// What tells the two versions apart.
enum Extra {
    /// The result is scaled channel by channel.
    Scale(Tensor),
    /// Between the pointwise convolutions: gamma and beta of a global response normalisation.
    Response([Tensor; 2]),
}

/// What tells the variants apart.
struct Shape {
    /// Blocks and channels of each stage.
    repeats: [usize; 4],
    channels: [usize; 4],
    /// Whether the pointwise convolutions are stored as convolutions, and not as linear layers.
    pointwise: bool,
    /// The second version.
    response: bool,
}

macro_rules! variants {
    ($($name:literal $tag:literal $crop_pct:literal $shape:expr,)*) => {
        &[$(Variant {
            name: $name,
            tag: $tag,
            licence: licence($tag, $shape),
            num_features: $shape.channels[3],
            side: 224,
            crop_pct: $crop_pct,
            interpolation: Interpolation::Bicubic,
            norm: IMAGENET,
            stages,
            build: |vb, drop_path| Ok(Box::new(ConvNext::new(&$shape, vb, drop_path)?)),
        }),*]
    };
}

#[rustfmt::skip] // A row is a line.
pub(super) const VARIANTS: &[Variant] = variants! {
    "convnext_atto" "d2_in1k" 0.875 small(2, 6, 40),
    "convnext_femto" "d1_in1k" 0.875 small(2, 6, 48),
    "convnext_pico" "d1_in1k" 0.875 small(2, 6, 64),
    "convnext_nano" "in12k_ft_in1k" 0.95 small(2, 8, 80),
    "convnext_tiny" "in12k_ft_in1k" 0.95 large(9, 96),
    "convnext_small" "in12k_ft_in1k" 0.95 large(27, 96),
    "convnext_base" "fb_in22k_ft_in1k" 0.875 large(27, 128),
    "convnextv2_atto" "fcmae_ft_in1k" 0.875 second(small(2, 6, 40)),
    "convnextv2_femto" "fcmae_ft_in1k" 0.875 second(small(2, 6, 48)),
    "convnextv2_pico" "fcmae_ft_in1k" 0.875 second(small(2, 6, 64)),
    "convnextv2_nano" "fcmae_ft_in22k_in1k" 0.875 second(small(2, 8, 80)),
    "convnextv2_tiny" "fcmae_ft_in22k_in1k" 0.875 second(large(9, 96)),
    "convnextv2_small" "" 0.875 second(large(27, 96)),
    "convnextv2_base" "fcmae_ft_in22k_in1k" 0.875 second(large(27, 128)),
};

/// A variant whose third stage has `third` blocks and whose first has `c` channels.
const fn small(others: usize, third: usize, c: usize) -> Shape {
    Shape {
        repeats: [others, others, third, others],
        channels: [c, 2 * c, 4 * c, 8 * c],
        pointwise: true,
        response: false,
    }
}

const fn large(third: usize, c: usize) -> Shape {
    Shape {
        pointwise: false,
        ..small(3, third, c)
    }
}

const fn second(first: Shape) -> Shape {
    Shape {
        response: true,
        ..first
    }
}

/// The second version's weights are not for commercial use.
const fn licence(tag: &str, shape: Shape) -> &'static str {
    if tag.is_empty() {
        ""
    } else if shape.response {
        "cc-by-nc-4.0"
    } else {
        "apache-2.0"
    }
}

fn stages() -> Vec<Vec<String>> {
    let mut stages = numbered(&["stem."], "stages.", 4, &[]);
    stages[4].push("head.norm.".into());
    stages
}

const EPS: f64 = 1e-6;

impl ConvNext {
    fn new(shape: &Shape, vb: &VarBuilder, drop_path: f32) -> Result<Self> {
        let count: usize = shape.repeats.iter().sum();
        let (mut inputs, mut index) = (3, 0);
        let mut stages = Vec::new();
        for (s, (repeats, channels)) in shape.repeats.into_iter().zip(shape.channels).enumerate() {
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
            let smaller = ConvConfig::patches((inputs, channels), kernel, Activation::Identity);
            let mut blocks = Vec::new();
            for b in 0..repeats {
                let rate = drop_path * index as f32 / (count - 1) as f32;
                let vb = stage.pp(format!("blocks.{b}"));
                blocks.push(ConvNextBlock::new(shape, channels, vb, rate, index)?);
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

impl ConvNextBlock {
    fn new(
        shape: &Shape,
        channels: usize,
        vb: VarBuilder,
        drop_path: f32,
        index: u64,
    ) -> Result<Self> {
        let depthwise = ConvConfig {
            inputs: channels,
            outputs: channels,
            kernel: 7,
            stride: 1,
            groups: channels,
            padding: Padding::Symmetric,
            activation: Activation::Identity,
        };
        let dense = |inputs, outputs, vb| {
            if shape.pointwise {
                Linear::pointwise(inputs, outputs, vb)
            } else {
                Linear::with_init(inputs, outputs, SMALL, vb)
            }
        };
        let wide = 4 * channels;
        let zeros = Init::Const(0.0);
        Ok(Self {
            depthwise: Conv::new(depthwise, vb.pp("conv_dw"))?,
            norm: LayerNorm::new(channels, EPS, vb.pp("norm"))?,
            wide: dense(channels, wide, vb.pp("mlp.fc1"))?,
            narrow: dense(wide, channels, vb.pp("mlp.fc2"))?,
            extra: if shape.response {
                Extra::Response([
                    vb.get_with_hints(wide, "mlp.grn.weight", zeros)?,
                    vb.get_with_hints(wide, "mlp.grn.bias", zeros)?,
                ])
            } else {
                Extra::Scale(vb.get_with_hints(channels, "gamma", Init::Const(1e-6))?)
            },
            drop_path,
            index,
        })
    }

    fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let y = self.depthwise.forward(tape, x)?;
        let y = self.norm.forward(tape, &y)?;
        let y = self.wide.on_tape(tape, &y, Activation::Gelu)?;
        let y = match &self.extra {
            Extra::Scale(gamma) => self.narrow.on_tape_scaled(tape, &y, gamma)?,
            Extra::Response([gamma, beta]) => {
                let y = tape.global_response_norm(&y, gamma, beta, EPS)?;
                self.narrow.on_tape(tape, &y, Activation::Identity)?
            }
        };
        residual(tape, x, &y, self.drop_path, mode, self.index)
    }
}

impl Network for ConvNext {
    fn run(
        &self,
        tape: &mut Tape,
        (from, start): (&Map, usize),
        mode: Mode,
        each: &mut Each,
    ) -> Result<Map> {
        let mut x = from.clone();
        let stages = self.stages.iter().enumerate();
        for (s, stage) in stages.skip(start.saturating_sub(1)) {
            x = match s {
                // The stem is a stage of its own.
                0 if start == 1 => x,
                0 => {
                    let x = stage.smaller.forward(tape, &x)?;
                    let mut x = stage.norm.forward(tape, &x)?;
                    each(tape, &mut x)?;
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
            each(tape, &mut x)?;
        }
        let x = tape.global_avg_pool(&x)?;
        self.norm.forward(tape, &x)
    }

    /// The norm that the network has behind its pooling is done at each position of the last map.
    fn shown(&self, tape: &mut Tape, map: &Map, last: bool) -> Result<Map> {
        if last {
            self.norm.forward(tape, map)
        } else {
            Ok(map.clone())
        }
    }
}
