//! Networks of inverted residual blocks (Sandler et al. 2018) and their kin: the blocks that EfficientNet and MobileNet are made
//! of. Tensors are named as in timm.

mod spec;

use super::{Behind, Each, Network, numbered};
use crate::layers::{
    Conv, ConvConfig, ConvNormAct, ConvNormActConfig, Mode, Padding, SqueezeConfig, SqueezeExcite,
    inverted_residual, residual,
};
use crate::tape::{Activation, Map, Tape};
use candle_core::Result;
use candle_nn::VarBuilder;
use spec::Form;
pub(super) use spec::{Spec, Squeeze, divisible, fused, inverted, plain, separable, universal};

/// What a network is made of.
pub(super) struct Design {
    /// Channels of the stem.
    pub stem: usize,
    /// Of each stage the blocks and how often each is repeated; only the first time has its stride.
    pub stages: Vec<Vec<(usize, Spec)>>,
    pub head: Head,
    pub num_features: usize,
    pub activation: Activation,
    pub padding: Padding,
    pub eps: f64,
}

/// What follows the last block, each time with the activation.
#[derive(Clone, Copy)]
pub(super) enum Head {
    /// Convolution and norm, then the mean over all positions.
    Map,
    /// The mean first, then a convolution with bias.
    Pooled,
    /// The mean first, then convolution and norm.
    PooledNorm,
}

/// Prefixes of the tensors of each stage.
pub(super) fn stages(count: usize, head: &[&str]) -> Vec<Vec<String>> {
    numbered(&["conv_stem.", "bn1."], "blocks.", count, head)
}

/// The network of a [`Design`].
pub(super) struct Inverted {
    stem: ConvNormAct,
    stages: Vec<Vec<InvertedBlock>>,
    head: HeadLayer,
}

enum HeadLayer {
    Map(ConvNormAct),
    Pooled(Conv),
    PooledNorm(ConvNormAct),
}

/// A chain of layers, added to its input where shapes allow.
struct InvertedBlock {
    steps: Vec<Step>,
    residual: bool,
    drop_path: f32,
    index: u64,
}

enum Step {
    Conv(ConvNormAct),
    Squeeze(SqueezeExcite),
}

impl Design {
    /// Convolution `name` and norm `norm` of a block.
    fn conv(
        &self,
        channels: (usize, usize),
        sizes: (usize, usize, usize),
        activation: Activation,
        vb: &VarBuilder,
        [name, norm]: [&str; 2],
    ) -> Result<ConvNormAct> {
        let config = ConvNormActConfig {
            padding: self.padding,
            eps: self.eps,
            ..ConvNormActConfig::new(channels, sizes, activation)
        };
        ConvNormAct::new(config, vb.pp(name), vb.pp(norm))
    }

    /// The layers of a block.
    fn steps(&self, spec: &Spec, inputs: usize, vb: &VarBuilder) -> Result<Vec<Step>> {
        let Spec {
            kernel,
            stride,
            channels: outputs,
            ..
        } = *spec;
        let (act, none) = (
            spec.activation.unwrap_or(self.activation),
            Activation::Identity,
        );
        let mid = match spec.form {
            Form::Separable => inputs,
            _ => divisible(inputs as f64 * spec.expansion),
        };
        let conv = |channels, (kernel, stride), activation, names| {
            let conv = self.conv(channels, (kernel, stride, 1), activation, vb, names);
            conv.map(Step::Conv)
        };
        let depthwise = |channels, (kernel, stride), activation, names| {
            let sizes = (kernel, stride, channels);
            let conv = self.conv((channels, channels), sizes, activation, vb, names);
            conv.map(Step::Conv)
        };
        let mut steps = Vec::new();
        match spec.form {
            Form::Plain => {
                steps.push(conv(
                    (inputs, outputs),
                    (kernel, stride),
                    act,
                    ["conv", "bn1"],
                )?);
            }
            Form::Separable => {
                steps.push(depthwise(mid, (kernel, stride), act, ["conv_dw", "bn1"])?);
                steps.extend(self.squeeze(spec, inputs, mid, vb)?);
                steps.push(conv((mid, outputs), (1, 1), none, ["conv_pw", "bn2"])?);
            }
            Form::Inverted => {
                steps.push(conv((inputs, mid), (1, 1), act, ["conv_pw", "bn1"])?);
                steps.push(depthwise(mid, (kernel, stride), act, ["conv_dw", "bn2"])?);
                steps.extend(self.squeeze(spec, inputs, mid, vb)?);
                steps.push(conv((mid, outputs), (1, 1), none, ["conv_pwl", "bn3"])?);
            }
            Form::Fused => {
                steps.push(conv(
                    (inputs, mid),
                    (kernel, stride),
                    act,
                    ["conv_exp", "bn1"],
                )?);
                steps.push(conv((mid, outputs), (1, 1), none, ["conv_pwl", "bn2"])?);
            }
            Form::Universal { start } => {
                if start > 0 {
                    let stride = if kernel > 0 { 1 } else { stride };
                    let names = ["dw_start.conv", "dw_start.bn"];
                    steps.push(depthwise(inputs, (start, stride), none, names)?);
                }
                steps.push(conv(
                    (inputs, mid),
                    (1, 1),
                    act,
                    ["pw_exp.conv", "pw_exp.bn"],
                )?);
                if kernel > 0 {
                    let names = ["dw_mid.conv", "dw_mid.bn"];
                    steps.push(depthwise(mid, (kernel, stride), act, names)?);
                }
                let names = ["pw_proj.conv", "pw_proj.bn"];
                steps.push(conv((mid, outputs), (1, 1), none, names)?);
            }
        }
        Ok(steps)
    }

    fn squeeze(
        &self,
        spec: &Spec,
        inputs: usize,
        mid: usize,
        vb: &VarBuilder,
    ) -> Result<Option<Step>> {
        let config = match spec.squeeze {
            None => return Ok(None),
            Some(Squeeze::OfInput) => SqueezeConfig {
                channels: mid,
                reduced: inputs / 4,
                activation: spec.activation.unwrap_or(self.activation),
                gate: Activation::Sigmoid,
            },
            Some(Squeeze::OfWithin) => SqueezeConfig {
                channels: mid,
                reduced: divisible(mid as f64 / 4.0),
                activation: Activation::Relu,
                gate: Activation::HardSigmoid,
            },
        };
        let squeeze = SqueezeExcite::new(config, vb.pp("se"))?;
        Ok(Some(Step::Squeeze(squeeze)))
    }

    fn head(&self, inputs: usize, vb: &VarBuilder) -> Result<HeadLayer> {
        let normed = |norm| {
            let (channels, sizes) = ((inputs, self.num_features), (1, 1, 1));
            self.conv(channels, sizes, self.activation, vb, ["conv_head", norm])
        };
        Ok(match self.head {
            Head::Map => HeadLayer::Map(normed("bn2")?),
            Head::PooledNorm => HeadLayer::PooledNorm(normed("norm_head")?),
            Head::Pooled => {
                let channels = (inputs, self.num_features);
                let config = ConvConfig::patches(channels, 1, self.activation);
                HeadLayer::Pooled(Conv::fan_out(config, vb.pp("conv_head"))?)
            }
        })
    }

    /// The network over the tensors of `vb`.
    pub(super) fn build(&self, vb: &VarBuilder, drop_path: f32) -> Result<Box<dyn Network>> {
        let names = ["conv_stem", "bn1"];
        let stem = self.conv((3, self.stem), (3, 2, 1), self.activation, vb, names)?;
        let count: usize = self.stages.iter().flatten().map(|(n, _)| n).sum();
        let (mut inputs, mut index) = (self.stem, 0);
        let mut stages = Vec::new();
        for (s, specs) in self.stages.iter().enumerate() {
            let mut stage = Vec::new();
            for (repeats, spec) in specs {
                for r in 0..*repeats {
                    let stride = if r == 0 { spec.stride } else { 1 };
                    let spec = Spec { stride, ..*spec };
                    let vb = vb.pp(format!("blocks.{s}.{}", stage.len()));
                    stage.push(InvertedBlock {
                        steps: self.steps(&spec, inputs, &vb)?,
                        residual: !matches!(spec.form, Form::Plain)
                            && stride == 1
                            && inputs == spec.channels,
                        drop_path: drop_path * index as f32 / count as f32,
                        index,
                    });
                    inputs = spec.channels;
                    index += 1;
                }
            }
            stages.push(stage);
        }
        let head = self.head(inputs, vb)?;
        Ok(Box::new(Inverted { stem, stages, head }))
    }
}

impl InvertedBlock {
    fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let convs = self.steps.iter().map(|step| match step {
            Step::Conv(conv) => Some(conv),
            Step::Squeeze(_) => None,
        });
        if let Some(convs) = convs.collect::<Option<Vec<_>>>() {
            let shortcut = self.residual.then_some((self.drop_path, self.index));
            return inverted_residual(tape, x, &convs, shortcut, mode);
        }
        let mut y = x.clone();
        for step in &self.steps {
            y = match step {
                Step::Conv(conv) => conv.forward(tape, &y, mode)?,
                Step::Squeeze(squeeze) => squeeze.forward(tape, y)?,
            };
        }
        if self.residual {
            residual(tape, x, &y, self.drop_path, mode, self.index)
        } else {
            Ok(y)
        }
    }
}

impl Network for Inverted {
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
        let mut x = match &self.head {
            HeadLayer::Map(conv) => {
                let mut x = conv.forward(tape, &x, mode)?;
                each(tape, &mut x)?;
                return tape.global_avg_pool(&x);
            }
            HeadLayer::Pooled(conv) => {
                let x = tape.global_avg_pool(&x)?;
                conv.forward(tape, &x)?
            }
            HeadLayer::PooledNorm(conv) => {
                let x = tape.global_avg_pool(&x)?;
                conv.forward(tape, &x, mode)?
            }
        };
        each(tape, &mut x)?;
        Ok(x)
    }

    fn behind(&self) -> Behind {
        match self.head {
            HeadLayer::Map(_) => Behind::Conv,
            HeadLayer::Pooled(_) | HeadLayer::PooledNorm(_) => Behind::Pooling,
        }
    }
}
