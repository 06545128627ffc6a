//! ResNet (He et al. 2015), and its variant D (He et al. 2018): three convolutions as the stem, average pooling in shortcuts.
//! Tensors are named as in timm.

use super::{Each, IMAGENET, Network, Variant, numbered};
use crate::input::Interpolation;
use crate::layers::{ConvNormAct, ConvNormActConfig, Mode, residual};
use crate::tape::{Activation, AvgPool2dParams, Map, Tape};
use candle_core::Result;
use candle_nn::VarBuilder;

/// A ResNet.
struct ResNet {
    stem: Vec<ConvNormAct>,
    stages: Vec<Vec<ResNetBlock>>,
}

/// A chain of convolutions beside a shortcut.
struct ResNetBlock {
    convs: Vec<ConvNormAct>,
    shortcut: Option<Shortcut>,
    drop_path: f32,
    index: u64,
}

/// A pointwise convolution, in variant D behind the mean of each 2 × 2 positions.
struct Shortcut {
    pooled: bool,
    conv: ConvNormAct,
}

/// What tells the networks apart.
struct Design {
    /// Blocks of each stage.
    repeats: [usize; 4],
    /// Blocks of three convolutions, with a quarter of the channels within, and not of two.
    bottleneck: bool,
    /// Variant D.
    d: bool,
}

const RESNET18: Variant = Variant {
    name: "resnet18",
    tag: "a1_in1k",
    licence: "apache-2.0",
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
    build: |vb, drop_path| basic([2, 2, 2, 2], false).build(vb, drop_path),
};

const RESNET18D: Variant = Variant {
    name: "resnet18d",
    tag: "ra2_in1k",
    crop_pct: 0.875,
    build: |vb, drop_path| basic([2, 2, 2, 2], true).build(vb, drop_path),
    ..RESNET18
};

pub(super) const VARIANTS: &[Variant] = &[
    RESNET18,
    Variant {
        name: "resnet34",
        build: |vb, drop_path| basic([3, 4, 6, 3], false).build(vb, drop_path),
        ..RESNET18
    },
    Variant {
        name: "resnet50",
        num_features: 2048,
        build: |vb, drop_path| bottleneck([3, 4, 6, 3], false).build(vb, drop_path),
        ..RESNET18
    },
    RESNET18D,
    Variant {
        name: "resnet34d",
        build: |vb, drop_path| basic([3, 4, 6, 3], true).build(vb, drop_path),
        ..RESNET18D
    },
    Variant {
        name: "resnet50d",
        num_features: 2048,
        build: |vb, drop_path| bottleneck([3, 4, 6, 3], true).build(vb, drop_path),
        ..RESNET18D
    },
];

fn basic(repeats: [usize; 4], d: bool) -> Design {
    Design {
        repeats,
        bottleneck: false,
        d,
    }
}

fn bottleneck(repeats: [usize; 4], d: bool) -> Design {
    Design {
        repeats,
        bottleneck: true,
        d,
    }
}

/// Channels within the blocks of the four stages.
const CHANNELS: [usize; 4] = [64, 128, 256, 512];

const RELU: Activation = Activation::Relu;
const NONE: Activation = Activation::Identity;

fn conv(
    channels: (usize, usize),
    (kernel, stride): (usize, usize),
    activation: Activation,
    vb: &VarBuilder,
    [name, norm]: [&str; 2],
) -> Result<ConvNormAct> {
    let config = ConvNormActConfig::new(channels, (kernel, stride, 1), activation);
    ConvNormAct::new(config, vb.pp(name), vb.pp(norm))
}

impl Design {
    fn stem(&self, vb: &VarBuilder) -> Result<Vec<ConvNormAct>> {
        if !self.d {
            return Ok(vec![conv((3, 64), (7, 2), RELU, vb, ["conv1", "bn1"])?]);
        }
        Ok(vec![
            conv((3, 32), (3, 2), RELU, vb, ["conv1.0", "conv1.1"])?,
            conv((32, 32), (3, 1), RELU, vb, ["conv1.3", "conv1.4"])?,
            conv((32, 64), (3, 1), RELU, vb, ["conv1.6", "bn1"])?,
        ])
    }

    /// The convolutions of a block and its output's channels.
    fn convs(
        &self,
        inputs: usize,
        within: usize,
        stride: usize,
        vb: &VarBuilder,
    ) -> Result<(Vec<ConvNormAct>, usize)> {
        let names = [["conv1", "bn1"], ["conv2", "bn2"], ["conv3", "bn3"]];
        if !self.bottleneck {
            let convs = vec![
                conv((inputs, within), (3, stride), RELU, vb, names[0])?,
                conv((within, within), (3, 1), NONE, vb, names[1])?,
            ];
            return Ok((convs, within));
        }
        let outputs = 4 * within;
        let convs = vec![
            conv((inputs, within), (1, 1), RELU, vb, names[0])?,
            conv((within, within), (3, stride), RELU, vb, names[1])?,
            conv((within, outputs), (1, 1), NONE, vb, names[2])?,
        ];
        Ok((convs, outputs))
    }

    fn shortcut(
        &self,
        channels: (usize, usize),
        stride: usize,
        vb: &VarBuilder,
    ) -> Result<Option<Shortcut>> {
        if stride == 1 && channels.0 == channels.1 {
            return Ok(None);
        }
        let vb = vb.pp("downsample");
        let conv = if self.d {
            conv(channels, (1, 1), NONE, &vb, ["1", "2"])?
        } else {
            conv(channels, (1, stride), NONE, &vb, ["0", "1"])?
        };
        Ok(Some(Shortcut {
            pooled: self.d && stride > 1,
            conv,
        }))
    }

    fn build(&self, vb: &VarBuilder, drop_path: f32) -> Result<Box<dyn Network>> {
        let stem = self.stem(vb)?;
        let count: usize = self.repeats.iter().sum();
        let (mut inputs, mut index) = (64, 0);
        let mut stages = Vec::new();
        for (s, (within, repeats)) in CHANNELS.into_iter().zip(self.repeats).enumerate() {
            let mut blocks = Vec::new();
            for b in 0..repeats {
                let vb = vb.pp(format!("layer{}.{b}", s + 1));
                let stride = if s > 0 && b == 0 { 2 } else { 1 };
                let (convs, outputs) = self.convs(inputs, within, stride, &vb)?;
                blocks.push(ResNetBlock {
                    convs,
                    shortcut: self.shortcut((inputs, outputs), stride, &vb)?,
                    drop_path: drop_path * index as f32 / (count - 1) as f32,
                    index,
                });
                inputs = outputs;
                index += 1;
            }
            stages.push(blocks);
        }
        Ok(Box::new(ResNet { stem, stages }))
    }
}

impl Shortcut {
    fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        if !self.pooled {
            return self.conv.forward(tape, x, mode);
        }
        let params = AvgPool2dParams {
            ceil_mode: true,
            count_include_pad: false,
            ..AvgPool2dParams::new(2, 2)
        };
        let x = tape.avg_pool(x, params)?;
        self.conv.forward(tape, &x, mode)
    }
}

impl ResNetBlock {
    fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let mut y = x.clone();
        for conv in &self.convs {
            y = conv.forward(tape, &y, mode)?;
        }
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(tape, x, mode)?,
            None => x.clone(),
        };
        let sum = residual(tape, &shortcut, &y, self.drop_path, mode, self.index)?;
        tape.activation(&sum, RELU)
    }
}

impl Network for ResNet {
    fn run(
        &self,
        tape: &mut Tape,
        (from, start): (&Map, usize),
        mode: Mode,
        each: &mut Each,
    ) -> Result<Map> {
        let mut x = from.clone();
        if start == 0 {
            for conv in &self.stem {
                x = conv.forward(tape, &x, mode)?;
            }
            x = tape.max_pool(&x, 3, 2, 1)?;
            each(tape, &mut x)?;
        }
        for stage in self.stages.iter().skip(start.saturating_sub(1)) {
            for block in stage {
                x = block.forward(tape, &x, mode)?;
            }
            each(tape, &mut x)?;
        }
        tape.global_avg_pool(&x)
    }
}
