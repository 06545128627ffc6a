//! EfficientNet-Lite: inverted residual blocks without squeeze-and-excitation, ReLU6 throughout.
//!
//! Tan and Le 2019, "EfficientNet"; the Lite variants are the TensorFlow authors' for edge devices (2020). Tensors are named as in
//! timm's `tf_efficientnet_lite0`.

use super::Backbone;
use crate::layers::{ConvNormAct, ConvNormActConfig, Mode, residual};
use crate::ops::{Activation, Map, Tape};
use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

/// An EfficientNet-Lite.
pub struct EfficientNet {
    stem: ConvNormAct,
    stages: Vec<Vec<Block>>,
    head: ConvNormAct,
    num_features: usize,
}

/// A chain of convolutions, added to its input where shapes allow.
struct Block {
    convs: Vec<ConvNormAct>,
    residual: bool,
    drop_path: f32,
    index: u64,
}

/// (repeats, kernel, stride, expansion, channels) of each stage; lite0.
const LITE0: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

fn conv(
    (inputs, outputs): (usize, usize),
    (kernel, stride, groups): (usize, usize, usize),
    activation: Activation,
    conv: VarBuilder,
    norm: VarBuilder,
) -> Result<ConvNormAct> {
    // TensorFlow's eps; timm's momentum (TensorFlow's 0.01 is made for training from scratch).
    let config = ConvNormActConfig {
        inputs,
        outputs,
        kernel,
        stride,
        groups,
        activation,
        eps: 1e-3,
        momentum: 0.1,
    };
    ConvNormAct::new(config, conv, norm)
}

impl EfficientNet {
    /// EfficientNet-Lite0 over tensors named as in timm's `tf_efficientnet_lite0`.
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn lite0(vb: VarBuilder, drop_path: f32) -> Result<Self> {
        let relu6 = Activation::Relu6;
        let stem = conv((3, 32), (3, 2, 1), relu6, vb.pp("conv_stem"), vb.pp("bn1"))?;
        let blocks: usize = LITE0.iter().map(|s| s.0).sum();
        let (mut inputs, mut index) = (32, 0);
        let mut stages = Vec::new();
        for (s, (repeats, kernel, first_stride, expansion, outputs)) in
            LITE0.into_iter().enumerate()
        {
            let mut stage = Vec::new();
            for b in 0..repeats {
                let vb = vb.pp(format!("blocks.{s}.{b}"));
                let stride = if b == 0 { first_stride } else { 1 };
                let mid = inputs * expansion;
                let convs = if expansion == 1 {
                    vec![
                        conv(
                            (mid, mid),
                            (kernel, stride, mid),
                            relu6,
                            vb.pp("conv_dw"),
                            vb.pp("bn1"),
                        )?,
                        conv(
                            (mid, outputs),
                            (1, 1, 1),
                            Activation::Identity,
                            vb.pp("conv_pw"),
                            vb.pp("bn2"),
                        )?,
                    ]
                } else {
                    vec![
                        conv(
                            (inputs, mid),
                            (1, 1, 1),
                            relu6,
                            vb.pp("conv_pw"),
                            vb.pp("bn1"),
                        )?,
                        conv(
                            (mid, mid),
                            (kernel, stride, mid),
                            relu6,
                            vb.pp("conv_dw"),
                            vb.pp("bn2"),
                        )?,
                        conv(
                            (mid, outputs),
                            (1, 1, 1),
                            Activation::Identity,
                            vb.pp("conv_pwl"),
                            vb.pp("bn3"),
                        )?,
                    ]
                };
                let residual = stride == 1 && inputs == outputs;
                let rate = drop_path * index as f32 / blocks as f32;
                stage.push(Block {
                    convs,
                    residual,
                    drop_path: rate,
                    index: index as u64,
                });
                inputs = outputs;
                index += 1;
            }
            stages.push(stage);
        }
        let head = conv(
            (inputs, 1280),
            (1, 1, 1),
            relu6,
            vb.pp("conv_head"),
            vb.pp("bn2"),
        )?;
        Ok(Self {
            stem,
            stages,
            head,
            num_features: 1280,
        })
    }

    /// The outputs of the stem, of each stage and of the last convolution, in order, without history.
    ///
    /// # Shapes
    /// `images` `(batch, 3, H, W)`; results `(batch, channels, H', W')`.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn feature_maps(&self, images: &Tensor, mode: Mode) -> Result<Vec<Tensor>> {
        let (mut tape, x) = Tape::new(images)?;
        let mut maps = Vec::new();
        self.run(&mut tape, &x, mode, &mut |tape, map| {
            maps.push(tape.tensor(map)?);
            Ok(())
        })?;
        Ok(maps)
    }

    /// Runs everything up to the last convolution; `each` sees the outputs of the stem, of each stage and of the last convolution.
    fn run(
        &self,
        tape: &mut Tape,
        images: &Map,
        mode: Mode,
        each: &mut dyn FnMut(&mut Tape, &Map) -> Result<()>,
    ) -> Result<Map> {
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
        Ok(x)
    }
}

impl Block {
    fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let mut y = x.clone();
        for conv in &self.convs {
            y = conv.forward(tape, &y, mode)?;
        }
        match self.residual {
            true => residual(tape, x, &y, self.drop_path, mode, self.index),
            false => Ok(y),
        }
    }
}

impl Backbone for EfficientNet {
    fn num_features(&self) -> usize {
        self.num_features
    }

    fn features(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let (mut tape, x) = Tape::new(images)?;
        let x = self.run(&mut tape, &x, mode, &mut |_, _| Ok(()))?;
        let x = tape.global_avg_pool(&x)?;
        tape.finish(&x)?.flatten_from(1)
    }
}
