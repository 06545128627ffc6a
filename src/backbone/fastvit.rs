//! FastViT (Vasu et al. 2023), the variants without attention: what mixes positions is a depthwise convolution in place of it,
//! and most convolutions are trained as branches that are one in prediction. Tensors are named as in timm.

use super::{Behind, Each, IMAGENET, Network, Variant, numbered};
use crate::input::Interpolation;
use crate::layers::{
    Branches, ConvNormAct, ConvNormActConfig, Linear, Mode, SqueezeConfig, SqueezeExcite, padded,
    residual,
};
use crate::tape::{Activation, Conv2dParams, Map, Tape, Weight};
use candle_core::{DType, Result, Tensor};
use candle_nn::{Init, VarBuilder};

/// A FastViT.
struct FastVit {
    stem: Vec<Branches>,
    stages: Vec<Stage>,
    last: Branches,
    squeeze: SqueezeExcite,
}

/// A smaller image with more channels, but in the first stage, and blocks over it.
struct Stage {
    smaller: Vec<Branches>,
    blocks: Vec<FastVitBlock>,
}

/// Positions mixed, then a depthwise convolution and a perceptron of two layers beside a shortcut.
struct FastVitBlock {
    mixer: RepMixer,
    depthwise: ConvNormAct,
    wide: Linear,
    narrow: Linear,
    scale: Tensor,
    drop_path: f32,
    index: u64,
}

/// x + scale · (mixer(x) − norm(x)), which is one depthwise convolution.
struct RepMixer {
    mixer: Branches,
    norm: ConvNormAct,
    scale: Tensor,
    /// All of it as one convolution with bias, if nothing of it is trained.
    merged: Option<(Weight, Tensor)>,
}

macro_rules! variants {
    ($($name:literal $repeats:expr, $channels:literal, $ratio:literal;)*) => {
        &[$(Variant {
            name: $name,
            tag: "apple_in1k",
            licence: "fastvit-license",
            num_features: 16 * $channels,
            side: 256,
            crop_pct: 0.9,
            interpolation: Interpolation::Bicubic,
            norm: IMAGENET,
            stages: || numbered(&["stem."], "stages.", 4, &["final_conv."]),
            build: |vb, drop_path| build($repeats, $channels, $ratio, vb, drop_path),
        }),*]
    };
}

#[rustfmt::skip] // A row is a line.
pub(super) const VARIANTS: &[Variant] = variants! {
    // Blocks of each stage, channels of the first, and how much wider a perceptron is within.
    "fastvit_t8" [2, 2, 4, 2], 48, 3;
    "fastvit_t12" [2, 2, 6, 2], 64, 3;
    "fastvit_s12" [2, 2, 6, 2], 64, 4;
};

/// A block of MobileOne (Vasu et al. 2022): a convolution, beside it a pointwise one if it is none itself, and the input.
fn mobile_one(config: ConvNormActConfig, vb: &VarBuilder) -> Result<Branches> {
    let whole = (config.kernel, "conv_kxk.0");
    if config.kernel == 1 {
        Branches::new(config, &[whole], vb)
    } else {
        Branches::new(config, &[(1, "conv_scale"), whole], vb)
    }
}

fn build(
    repeats: [usize; 4],
    channels: usize,
    ratio: usize,
    vb: &VarBuilder,
    drop_path: f32,
) -> Result<Box<dyn Network>> {
    let gelu = Activation::Gelu;
    let stem = [
        ConvNormActConfig::new((3, channels), (3, 2, 1), gelu),
        ConvNormActConfig::new((channels, channels), (3, 2, channels), gelu),
        ConvNormActConfig::new((channels, channels), (1, 1, 1), gelu),
    ];
    let stem = stem.into_iter().enumerate();
    let stem = stem.map(|(i, config)| mobile_one(config, &vb.pp(format!("stem.{i}"))));
    let stem = stem.collect::<Result<_>>()?;
    let count: usize = repeats.iter().sum();
    let (mut width, mut index) = (channels, 0);
    let mut stages = Vec::new();
    for (s, repeats) in repeats.into_iter().enumerate() {
        let vb = vb.pp(format!("stages.{s}"));
        let mut smaller = Vec::new();
        if s > 0 {
            let vb = vb.pp("downsample.proj");
            let depthwise =
                ConvNormActConfig::new((width, 2 * width), (7, 2, width), Activation::Identity);
            let names = [(7, "large_conv"), (3, "small_conv")];
            smaller.push(Branches::new(depthwise, &names, &vb.pp("0"))?);
            width *= 2;
            smaller.push(mobile_one(
                ConvNormActConfig::new((width, width), (1, 1, 1), gelu),
                &vb.pp("1"),
            )?);
        }
        let mut blocks = Vec::new();
        for b in 0..repeats {
            let rate = drop_path * index as f32 / (count - 1) as f32;
            let vb = vb.pp(format!("blocks.{b}"));
            blocks.push(FastVitBlock::new(width, ratio, &vb, rate, index)?);
            index += 1;
        }
        stages.push(Stage { smaller, blocks });
    }
    let vb = vb.pp("final_conv");
    let outputs = 2 * width;
    let last = ConvNormActConfig::new((width, outputs), (3, 1, width), Activation::Identity);
    let squeeze = SqueezeConfig {
        channels: outputs,
        reduced: outputs / 16,
        activation: Activation::Relu,
        gate: Activation::Sigmoid,
    };
    Ok(Box::new(FastVit {
        stem,
        stages,
        last: mobile_one(last, &vb)?,
        squeeze: SqueezeExcite::named(squeeze, ["fc1", "fc2"], vb.pp("se"))?,
    }))
}

/// First value of the scales.
const SCALE: Init = Init::Const(1e-5);

impl FastVitBlock {
    fn new(
        width: usize,
        ratio: usize,
        vb: &VarBuilder,
        drop_path: f32,
        index: u64,
    ) -> Result<Self> {
        let depthwise = ConvNormActConfig::new((width, width), (7, 1, width), Activation::Identity);
        let (mlp, within) = (vb.pp("mlp"), ratio * width);
        Ok(Self {
            mixer: RepMixer::new(width, &vb.pp("token_mixer"))?,
            depthwise: ConvNormAct::new(depthwise, mlp.pp("conv.conv"), mlp.pp("conv.bn"))?,
            wide: Linear::pointwise(width, within, mlp.pp("fc1"))?,
            narrow: Linear::pointwise(within, width, mlp.pp("fc2"))?,
            // Once, so that it is the same constant at every pass.
            scale: vb
                .get_with_hints((width, 1, 1), "layer_scale.gamma", SCALE)?
                .flatten_all()?,
            drop_path,
            index,
        })
    }

    fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let x = self.mixer.forward(tape, x, mode)?;
        let y = self.depthwise.forward(tape, &x, mode)?;
        let y = self.wide.on_tape(tape, &y, Activation::Gelu)?;
        let y = self.narrow.on_tape_scaled(tape, &y, &self.scale)?;
        residual(tape, &x, &y, self.drop_path, mode, self.index)
    }
}

impl RepMixer {
    fn new(width: usize, vb: &VarBuilder) -> Result<Self> {
        let config = ConvNormActConfig::new((width, width), (3, 1, width), Activation::Identity);
        let norm = vb.pp("norm.identity");
        let mut mixer = Self {
            mixer: mobile_one(config, &vb.pp("mixer"))?,
            norm: ConvNormAct::norm(width, config.eps, config.momentum, norm)?,
            scale: vb.get_with_hints((width, 1, 1), "layer_scale.gamma", SCALE)?,
            merged: None,
        };
        if let Some((weight, bias)) = mixer.merge()? {
            let weight = Weight::new(weight.to_dtype(vb.dtype())?);
            mixer.merged = Some((weight, bias.to_dtype(vb.dtype())?));
        }
        Ok(mixer)
    }

    /// Weight and bias of the one convolution, in f64; `None` if any of its tensors is trained.
    fn merge(&self) -> Result<Option<(Tensor, Tensor)>> {
        let (Some((weight, bias)), Some((of_norm, shift)), false) = (
            self.mixer.merged()?,
            self.norm.merged()?,
            self.scale.track_op(),
        ) else {
            return Ok(None);
        };
        let scale = self.scale.to_dtype(DType::F64)?;
        let difference = (weight - padded(&of_norm, 3)?)?;
        let scaled = difference.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?;
        let input = padded(&of_norm.ones_like()?, 3)?;
        let bias = ((bias - shift)? * scale.flatten_all()?)?;
        Ok(Some(((scaled + input)?, bias)))
    }

    fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let groups = x.channels();
        if let Some((weight, bias)) = &self.merged {
            let params = Conv2dParams {
                padding: [1; 4],
                groups,
                ..Default::default()
            };
            return tape.conv(x, weight, Some(bias), params, Activation::Identity);
        }
        let mixed = self.mixer.forward(tape, x, mode)?;
        let normed = self.norm.forward(tape, x, mode)?;
        let difference = tape.add(&mixed, &normed, Some(vec![-1.0; x.batch()]))?;
        // A scale for each channel is a depthwise convolution of one weight.
        let scale = Weight::new(self.scale.reshape(((), 1, 1, 1))?);
        let params = Conv2dParams {
            groups,
            ..Default::default()
        };
        let scaled = tape.conv(&difference, &scale, None, params, Activation::Identity)?;
        tape.add(x, &scaled, None)
    }
}

impl Network for FastVit {
    fn run(
        &self,
        tape: &mut Tape,
        (from, start): (&Map, usize),
        mode: Mode,
        each: &mut Each,
    ) -> Result<Map> {
        let mut x = from.clone();
        if start == 0 {
            for block in &self.stem {
                x = block.forward(tape, &x, mode)?;
            }
            each(tape, &mut x)?;
        }
        for stage in self.stages.iter().skip(start.saturating_sub(1)) {
            for block in &stage.smaller {
                x = block.forward(tape, &x, mode)?;
            }
            for block in &stage.blocks {
                x = block.forward(tape, &x, mode)?;
            }
            each(tape, &mut x)?;
        }
        let x = self.last.forward(tape, &x, mode)?;
        let x = self.squeeze.forward(tape, x)?;
        let mut x = tape.activation(&x, Activation::Gelu)?;
        each(tape, &mut x)?;
        tape.global_avg_pool(&x)
    }

    fn behind(&self) -> Behind {
        Behind::Conv
    }
}
