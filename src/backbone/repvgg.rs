//! RepVGG (Ding et al. 2021): trained as three branches, which are one convolution once nothing is trained. Tensors are named as in
//! timm.

use super::{Each, IMAGENET, Network, Variant, numbered};
use crate::input::Interpolation;
use crate::layers::{ConvNormAct, ConvNormActConfig, Mode, Padding, residual};
use crate::tape::{Activation, Conv2dParams, Map, Tape, Weight};
use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;

/// A RepVGG: its stem, and the blocks of each stage.
struct RepVgg {
    stem: Block,
    stages: Vec<Vec<Block>>,
}

/// A 3 × 3 convolution, a pointwise one and, where shapes allow, the input itself, each behind a norm; the activation of their sum.
struct Block {
    wide: ConvNormAct,
    pointwise: ConvNormAct,
    identity: Option<ConvNormAct>,
    stride: usize,
    /// All of it as one convolution with bias, if nothing of it is trained.
    merged: Option<(Weight, Tensor)>,
    drop_path: f32,
    index: u64,
}

const A0: Variant = Variant {
    name: "repvgg_a0",
    tag: "rvgg_in1k",
    num_features: 1280,
    side: 224,
    crop_pct: 0.875,
    interpolation: Interpolation::Bilinear,
    norm: IMAGENET,
    stages: || numbered(&["stem."], "stages.", 4, &[]),
    build: |vb, drop_path| build([2, 4, 14, 1], [48, 96, 192, 1280], vb, drop_path),
};

pub(super) const VARIANTS: &[Variant] = &[
    A0,
    Variant {
        name: "repvgg_a1",
        build: |vb, drop_path| build([2, 4, 14, 1], [64, 128, 256, 1280], vb, drop_path),
        ..A0
    },
    Variant {
        name: "repvgg_b0",
        build: |vb, drop_path| build([4, 6, 16, 1], [64, 128, 256, 1280], vb, drop_path),
        ..A0
    },
];

const EPS: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

fn build(
    repeats: [usize; 4],
    channels: [usize; 4],
    vb: &VarBuilder,
    drop_path: f32,
) -> Result<Box<dyn Network>> {
    let count: usize = repeats.iter().sum();
    let stem = Block::new((3, channels[0]), 2, &vb.pp("stem"))?;
    let (mut inputs, mut index) = (channels[0], 0);
    let mut stages = Vec::new();
    for (s, (repeats, outputs)) in repeats.into_iter().zip(channels).enumerate() {
        let mut blocks = Vec::new();
        for b in 0..repeats {
            let stride = if b == 0 { 2 } else { 1 };
            let vb = vb.pp(format!("stages.{s}.{b}"));
            blocks.push(Block {
                drop_path: drop_path * index as f32 / (count - 1) as f32,
                index,
                ..Block::new((inputs, outputs), stride, &vb)?
            });
            inputs = outputs;
            index += 1;
        }
        stages.push(blocks);
    }
    Ok(Box::new(RepVgg { stem, stages }))
}

impl Block {
    fn new((inputs, outputs): (usize, usize), stride: usize, vb: &VarBuilder) -> Result<Self> {
        let branch = |kernel, name| {
            let config = ConvNormActConfig {
                inputs,
                outputs,
                kernel,
                stride,
                groups: 1,
                padding: Padding::Symmetric,
                activation: Activation::Identity,
                eps: EPS,
                momentum: MOMENTUM,
            };
            let vb = vb.pp(name);
            ConvNormAct::new(config, vb.pp("conv"), vb.pp("bn"))
        };
        let identity = if stride == 1 && inputs == outputs {
            Some(ConvNormAct::norm(
                outputs,
                EPS,
                MOMENTUM,
                vb.pp("identity"),
            )?)
        } else {
            None
        };
        let mut block = Self {
            wide: branch(3, "conv_kxk")?,
            pointwise: branch(1, "conv_1x1")?,
            identity,
            stride,
            merged: None,
            drop_path: 0.0,
            index: 0,
        };
        block.merged = block.merge(vb.dtype())?;
        Ok(block)
    }

    /// A pointwise convolution is a 3 × 3 one with zeros around its weight, and the input is its own convolution with ones on the
    /// diagonal.
    fn merge(&self, dtype: DType) -> Result<Option<(Weight, Tensor)>> {
        let Some((mut weight, mut bias)) = self.wide.merged()? else {
            return Ok(None);
        };
        let around = |t: Tensor| t.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1);
        let Some((pointwise, shift)) = self.pointwise.merged()? else {
            return Ok(None);
        };
        weight = (weight + around(pointwise)?)?;
        bias = (bias + shift)?;
        if let Some(identity) = &self.identity {
            let Some((scale, shift)) = identity.merged()? else {
                return Ok(None);
            };
            let channels = scale.dim(0)?;
            let ones = Tensor::eye(channels, DType::F64, scale.device())?;
            let diagonal = ones
                .reshape((channels, channels, 1, 1))?
                .broadcast_mul(&scale)?;
            weight = (weight + around(diagonal)?)?;
            bias = (bias + shift)?;
        }
        let weight = Weight::new(weight.to_dtype(dtype)?);
        Ok(Some((weight, bias.to_dtype(dtype)?)))
    }

    fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let dropped = mode != Mode::Eval && self.drop_path > 0.0;
        if let (Some((weight, bias)), false) = (&self.merged, dropped) {
            let params = Conv2dParams {
                stride: (self.stride, self.stride),
                padding: [1; 4],
                ..Default::default()
            };
            return tape.conv(x, weight, Some(bias), params, Activation::Relu);
        }
        let pointwise = self.pointwise.forward(tape, x, mode)?;
        let wide = self.wide.forward(tape, x, mode)?;
        let mut sum = tape.add(&pointwise, &wide, None)?;
        if let Some(identity) = &self.identity {
            let identity = identity.forward(tape, x, mode)?;
            sum = residual(tape, &identity, &sum, self.drop_path, mode, self.index)?;
        }
        tape.activation(&sum, Activation::Relu)
    }
}

impl Network for RepVgg {
    fn run(&self, tape: &mut Tape, images: &Map, mode: Mode, each: &mut Each) -> Result<Map> {
        let mut x = self.stem.forward(tape, images, mode)?;
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
