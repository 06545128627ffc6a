//! RepVGG (Ding et al. 2021): blocks of three branches, a 3 × 3 convolution, a pointwise one and the input itself. Tensors are
//! named as in timm.

use super::{Each, IMAGENET, Network, Variant, numbered};
use crate::input::Interpolation;
use crate::layers::{Branches, ConvNormActConfig, Mode};
use crate::tape::{Activation, Map, Tape};
use candle_core::Result;
use candle_nn::VarBuilder;

/// A RepVGG: its stem, and the blocks of each stage.
struct RepVgg {
    stem: Branches,
    stages: Vec<Vec<Branches>>,
}

const A0: Variant = Variant {
    name: "repvgg_a0",
    tag: "rvgg_in1k",
    licence: "mit",
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

fn build(
    repeats: [usize; 4],
    channels: [usize; 4],
    vb: &VarBuilder,
    drop_path: f32,
) -> Result<Box<dyn Network>> {
    let count: usize = repeats.iter().sum();
    let stem = block((3, channels[0]), 2, &vb.pp("stem"))?;
    let (mut inputs, mut index) = (channels[0], 0);
    let mut stages = Vec::new();
    for (s, (repeats, outputs)) in repeats.into_iter().zip(channels).enumerate() {
        let mut blocks = Vec::new();
        for b in 0..repeats {
            let stride = if b == 0 { 2 } else { 1 };
            let block = block((inputs, outputs), stride, &vb.pp(format!("stages.{s}.{b}")))?;
            let rate = drop_path * index as f32 / (count - 1) as f32;
            blocks.push(block.with_drop_path(rate, index));
            inputs = outputs;
            index += 1;
        }
        stages.push(blocks);
    }
    Ok(Box::new(RepVgg { stem, stages }))
}

fn block(channels: (usize, usize), stride: usize, vb: &VarBuilder) -> Result<Branches> {
    let config = ConvNormActConfig::new(channels, (3, stride, 1), Activation::Relu);
    Branches::new(config, &[(1, "conv_1x1"), (3, "conv_kxk")], vb)
}

impl Network for RepVgg {
    fn run(
        &self,
        tape: &mut Tape,
        (from, start): (&Map, usize),
        mode: Mode,
        each: &mut Each,
    ) -> Result<Map> {
        let mut x = from.clone();
        if start == 0 {
            x = self.stem.forward(tape, &x, mode)?;
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
