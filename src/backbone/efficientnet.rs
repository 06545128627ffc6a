//! Networks of inverted residual blocks without squeeze-and-excitation, ReLU6 throughout: EfficientNet-Lite and MobileNetV2.
//!
//! Sandler et al. 2018, "MobileNetV2"; Tan and Le 2019, "EfficientNet", whose Lite variants are the TensorFlow authors' for edge
//! devices (2020). Tensors are named as in timm.

use super::{Each, IMAGENET, LITE, Network, Variant, numbered};
use crate::input::Interpolation;
use crate::layers::{ConvNormAct, ConvNormActConfig, Mode, Padding, inverted_residual};
use crate::ops::{Activation, Map, Tape};
use candle_core::Result;
use candle_nn::VarBuilder;

/// An EfficientNet-Lite or a MobileNetV2.
pub(super) struct EfficientNet {
    stem: ConvNormAct,
    stages: Vec<Vec<Block>>,
    head: ConvNormAct,
}

/// A chain of convolutions, added to its input where shapes allow.
struct Block {
    convs: Vec<ConvNormAct>,
    residual: bool,
    drop_path: f32,
    index: u64,
}

/// What tells the families apart.
struct Family {
    /// (repeats, kernel, stride, expansion, channels) of each stage.
    stages: [(usize, usize, usize, usize, usize); 7],
    padding: Padding,
    eps: f64,
}

const LITE0: Family = Family {
    stages: [
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    ],
    // TensorFlow's.
    padding: Padding::Same,
    eps: 1e-3,
};

const MOBILENET_V2: Family = Family {
    stages: [
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (3, 3, 2, 6, 32),
        (4, 3, 2, 6, 64),
        (3, 3, 1, 6, 96),
        (3, 3, 2, 6, 160),
        (1, 3, 1, 6, 320),
    ],
    padding: Padding::Symmetric,
    eps: 1e-5,
};

pub(super) const VARIANTS: &[Variant] = &[
    Variant {
        name: "tf_efficientnet_lite0",
        tag: "in1k",
        num_features: 1280,
        side: 224,
        crop_pct: 0.875,
        interpolation: Interpolation::Bicubic,
        norm: LITE,
        stages,
        build: |vb, drop_path| Ok(Box::new(EfficientNet::new(&LITE0, vb, drop_path)?)),
    },
    Variant {
        name: "mobilenetv2_100",
        tag: "ra_in1k",
        num_features: 1280,
        side: 224,
        crop_pct: 0.875,
        interpolation: Interpolation::Bicubic,
        norm: IMAGENET,
        stages,
        build: |vb, drop_path| Ok(Box::new(EfficientNet::new(&MOBILENET_V2, vb, drop_path)?)),
    },
];

fn stages() -> Vec<Vec<String>> {
    numbered(
        &["conv_stem.", "bn1."],
        "blocks.",
        7,
        &["conv_head.", "bn2."],
    )
}

impl Family {
    /// Convolution `name` and norm `norm` of a block.
    fn conv(
        &self,
        (inputs, outputs): (usize, usize),
        (kernel, stride, groups): (usize, usize, usize),
        activation: Activation,
        vb: &VarBuilder,
        [name, norm]: [&str; 2],
    ) -> Result<ConvNormAct> {
        let config = ConvNormActConfig {
            inputs,
            outputs,
            kernel,
            stride,
            groups,
            padding: self.padding,
            activation,
            eps: self.eps,
            // timm's; TensorFlow's 0.01 is made for training from scratch.
            momentum: 0.1,
        };
        ConvNormAct::new(config, vb.pp(name), vb.pp(norm))
    }

    /// The convolutions of one block: expansion, depthwise, projection.
    fn block(
        &self,
        (inputs, outputs): (usize, usize),
        (kernel, stride, expansion): (usize, usize, usize),
        vb: &VarBuilder,
    ) -> Result<Vec<ConvNormAct>> {
        let mid = inputs * expansion;
        let (act, none) = (Activation::Relu6, Activation::Identity);
        let depthwise = (kernel, stride, mid);
        if expansion == 1 {
            return Ok(vec![
                self.conv((mid, mid), depthwise, act, vb, ["conv_dw", "bn1"])?,
                self.conv((mid, outputs), (1, 1, 1), none, vb, ["conv_pw", "bn2"])?,
            ]);
        }
        Ok(vec![
            self.conv((inputs, mid), (1, 1, 1), act, vb, ["conv_pw", "bn1"])?,
            self.conv((mid, mid), depthwise, act, vb, ["conv_dw", "bn2"])?,
            self.conv((mid, outputs), (1, 1, 1), none, vb, ["conv_pwl", "bn3"])?,
        ])
    }
}

impl EfficientNet {
    fn new(family: &Family, vb: &VarBuilder, drop_path: f32) -> Result<Self> {
        let (act, num_features) = (Activation::Relu6, 1280);
        let stem = family.conv((3, 32), (3, 2, 1), act, vb, ["conv_stem", "bn1"])?;
        let blocks: usize = family.stages.iter().map(|s| s.0).sum();
        let (mut inputs, mut index) = (32, 0);
        let mut stages = Vec::new();
        for (s, (repeats, kernel, first_stride, expansion, outputs)) in
            family.stages.into_iter().enumerate()
        {
            let mut stage = Vec::new();
            for b in 0..repeats {
                let stride = if b == 0 { first_stride } else { 1 };
                let vb = vb.pp(format!("blocks.{s}.{b}"));
                stage.push(Block {
                    convs: family.block((inputs, outputs), (kernel, stride, expansion), &vb)?,
                    residual: stride == 1 && inputs == outputs,
                    drop_path: drop_path * index as f32 / blocks as f32,
                    index,
                });
                inputs = outputs;
                index += 1;
            }
            stages.push(stage);
        }
        let head = family.conv(
            (inputs, num_features),
            (1, 1, 1),
            act,
            vb,
            ["conv_head", "bn2"],
        )?;
        Ok(Self { stem, stages, head })
    }
}

impl Block {
    fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let shortcut = self.residual.then_some((self.drop_path, self.index));
        inverted_residual(tape, x, &self.convs, shortcut, mode)
    }
}

impl Network for EfficientNet {
    fn run(&self, tape: &mut Tape, images: &Map, mode: Mode, each: &mut Each) -> Result<Map> {
        let mut x = self.stem.forward(tape, images, mode)?;
        each(tape, &x)?;
        for stage in &self.stages {
            for block in stage {
                x = block.forward(tape, &x, mode)?;
            }
            each(tape, &x)?;
        }
        let x = self.head.forward(tape, &x, mode)?;
        each(tape, &x)?;
        tape.global_avg_pool(&x)
    }
}
