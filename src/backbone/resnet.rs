//! ResNet (He et al. 2015) of basic blocks. Tensors are named as in timm.

use super::{Each, IMAGENET, Network, Variant, numbered};
use crate::input::Interpolation;
use crate::layers::{ConvNormAct, ConvNormActConfig, Mode, Padding, residual};
use crate::ops::{Activation, Map, Tape};
use candle_core::Result;
use candle_nn::VarBuilder;

/// A ResNet.
pub(super) struct ResNet {
    stem: ConvNormAct,
    stages: Vec<Vec<Block>>,
}

/// Two 3 × 3 convolutions beside a shortcut.
struct Block {
    convs: [ConvNormAct; 2],
    shortcut: Option<ConvNormAct>,
    drop_path: f32,
    index: u64,
}

pub(super) const VARIANTS: &[Variant] = &[Variant {
    name: "resnet18",
    tag: "a1_in1k",
    num_features: 512,
    side: 224,
    crop_pct: 0.95,
    interpolation: Interpolation::Bicubic,
    norm: IMAGENET,
    stages: || {
        let mut stages = numbered(&["conv1.", "bn1."], "layer", 5, &[]);
        stages.remove(1);
        stages
    },
    build: |vb, drop_path| Ok(Box::new(ResNet::new(vb, drop_path)?)),
}];

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
    fn new(vb: &VarBuilder, drop_path: f32) -> Result<Self> {
        let relu = Activation::Relu;
        let stem = conv((3, 64), (7, 2), relu, vb.pp("conv1"), vb.pp("bn1"))?;
        let repeats = 2;
        let count = CHANNELS.len() * repeats;
        let (mut inputs, mut index) = (64, 0);
        let mut stages = Vec::new();
        for (s, outputs) in CHANNELS.into_iter().enumerate() {
            let mut blocks = Vec::new();
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
                    index,
                });
                inputs = outputs;
                index += 1;
            }
            stages.push(blocks);
        }
        Ok(Self { stem, stages })
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

impl Network for ResNet {
    fn run(&self, tape: &mut Tape, images: &Map, mode: Mode, each: &mut Each) -> Result<Map> {
        let x = self.stem.forward(tape, images, mode)?;
        let mut x = tape.max_pool(&x, 3, 2, 1)?;
        each(tape, &x)?;
        for stage in &self.stages {
            for block in stage {
                x = block.forward(tape, &x, mode)?;
            }
            each(tape, &x)?;
        }
        tape.global_avg_pool(&x)
    }
}
