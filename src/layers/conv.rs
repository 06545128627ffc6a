//! Convolutions as layers.

use super::{BatchNormMode, Mode, residual};
use crate::ops::{Activation, Conv2dParams, ConvStep, Map, Norm, Statistics, Tape, Weight};
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, bail};
use candle_nn::{Init, VarBuilder};

/// Zeros around an image before a convolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// As TensorFlow's `SAME`: output size = input size / stride, rounded up; an odd row or column goes to the bottom or right.
    Same,
    /// (kernel − 1) / 2 on every side, as is usual in PyTorch.
    #[default]
    Symmetric,
    /// None.
    None,
}

impl Padding {
    fn params(
        self,
        input: (usize, usize),
        kernel: usize,
        stride: usize,
        groups: usize,
    ) -> Conv2dParams {
        let params = Conv2dParams {
            stride: (stride, stride),
            groups,
            ..Default::default()
        };
        match self {
            Self::Same => params.same_padding(input, (kernel, kernel)),
            Self::Symmetric => Conv2dParams {
                padding: [(kernel - 1) / 2; 4],
                ..params
            },
            Self::None => params,
        }
    }
}

/// Convolution with bias, and an activation.
#[derive(Clone, Debug)]
pub struct Conv {
    config: ConvConfig,
    weight: Weight,
    bias: Tensor,
}

/// The settings of a [`Conv`].
#[derive(Clone, Copy, Debug)]
pub struct ConvConfig {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Vertical and horizontal stride.
    pub stride: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Zeros around the input.
    pub padding: Padding,
    /// The activation.
    pub activation: Activation,
}

impl Conv {
    /// A layer over `weight` and `bias` of `vb`; new ones are drawn as timm's, from a normal distribution of deviation 0.02.
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn new(config: ConvConfig, vb: VarBuilder) -> Result<Self> {
        let shape = (
            config.outputs,
            config.inputs / config.groups,
            config.kernel,
            config.kernel,
        );
        Ok(Self {
            config,
            weight: Weight::new(vb.get_with_hints(shape, "weight", SMALL)?),
            bias: vb.get_with_hints(config.outputs, "bias", Init::Const(0.0))?,
        })
    }

    /// # Errors
    /// As [`Tape::conv`].
    pub fn forward(&self, tape: &mut Tape, x: &Map) -> Result<Map> {
        let c = &self.config;
        let params = c.padding.params(x.size(), c.kernel, c.stride, c.groups);
        tape.conv(x, &self.weight, Some(&self.bias), params, c.activation)
    }

    /// The result scaled channel by channel; the layer must have no activation.
    ///
    /// # Shapes
    /// `gamma` `(outputs)`.
    ///
    /// # Errors
    /// As [`Tape::conv_scaled`].
    pub fn forward_scaled(&self, tape: &mut Tape, x: &Map, gamma: &Tensor) -> Result<Map> {
        let c = &self.config;
        let params = c.padding.params(x.size(), c.kernel, c.stride, c.groups);
        tape.conv_scaled(x, &self.weight, &self.bias, gamma, params)
    }
}

/// First values of the convolutions and linear layers of transformers and ConvNeXt, as timm.
pub(crate) const SMALL: Init = Init::Randn {
    mean: 0.0,
    stdev: 0.02,
};

/// The settings of a [`ConvNormAct`].
#[derive(Clone, Copy, Debug)]
pub struct ConvNormActConfig {
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Vertical and horizontal stride.
    pub stride: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Zeros around the input.
    pub padding: Padding,
    /// The activation.
    pub activation: Activation,
    /// Added to the variance.
    pub eps: f64,
    /// Share of the batch's statistics in the new running ones, as in PyTorch.
    pub momentum: f64,
}

/// Convolution without bias, batch normalisation, activation.
#[derive(Clone, Debug)]
pub struct ConvNormAct {
    config: ConvNormActConfig,
    weight: Weight,
    gamma: Tensor,
    beta: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl ConvNormAct {
    /// A layer over `conv.weight`, and `weight`, `bias`, `running_mean`, `running_var` of `norm`.
    ///
    /// # Errors
    /// If a `VarBuilder` lacks a tensor.
    pub fn new(config: ConvNormActConfig, conv: VarBuilder, norm: VarBuilder) -> Result<Self> {
        let ConvNormActConfig {
            inputs,
            outputs,
            kernel,
            groups,
            ..
        } = config;
        // Fan-out initialisation, as TensorFlow's EfficientNet and timm.
        let fan_out = (kernel * kernel * outputs / groups) as f64;
        let init = Init::Randn {
            mean: 0.0,
            stdev: (2.0 / fan_out).sqrt(),
        };
        let shape = (outputs, inputs / groups, kernel, kernel);
        Ok(Self {
            config,
            weight: Weight::new(conv.get_with_hints(shape, "weight", init)?),
            gamma: norm.get_with_hints(outputs, "weight", Init::Const(1.0))?,
            beta: norm.get_with_hints(outputs, "bias", Init::Const(0.0))?,
            running_mean: norm.get_with_hints(outputs, "running_mean", Init::Const(0.0))?,
            running_var: norm.get_with_hints(outputs, "running_var", Init::Const(1.0))?,
        })
    }

    /// The size of its output.
    fn size(&self, (h, w): (usize, usize)) -> (usize, usize) {
        let (kernel, stride) = (self.config.kernel, self.config.stride);
        let p = self
            .config
            .padding
            .params((h, w), kernel, stride, 1)
            .padding;
        let out = |size: usize, pad: usize| (size + pad).saturating_sub(kernel) / stride + 1;
        (out(h, p[0] + p[1]), out(w, p[2] + p[3]))
    }

    /// Whether the batch's statistics are used.
    fn of_batch(&self, tape: &Tape, mode: Mode) -> bool {
        let train = match mode {
            Mode::Eval => false,
            Mode::Train { batch_norm, .. } => match batch_norm {
                BatchNormMode::Train => true,
                BatchNormMode::Frozen => false,
                BatchNormMode::FrozenStages(n) => tape.stage() >= n,
            },
        };
        train && self.gamma.track_op()
    }

    /// The layer as a step of the tape, over an input of `size`.
    fn step(&self, tape: &Tape, size: (usize, usize), mode: Mode) -> ConvStep<'_> {
        let ConvNormActConfig {
            kernel,
            stride,
            groups,
            activation,
            eps,
            ..
        } = self.config;
        let statistics = match self.of_batch(tape, mode) {
            true => Statistics::Batch,
            false => Statistics::Fixed {
                mean: self.running_mean.clone(),
                var: self.running_var.clone(),
            },
        };
        ConvStep {
            weight: &self.weight,
            params: self.config.padding.params(size, kernel, stride, groups),
            norm: Norm {
                gamma: &self.gamma,
                beta: &self.beta,
                eps,
                statistics,
            },
            activation,
        }
    }

    /// In training, if the layer is trained and batch norm is in train mode, the batch's statistics are used and the running ones
    /// move towards them (the variance unbiased), as in PyTorch.
    ///
    /// # Shapes
    /// `x` `(batch, inputs, H, W)`; result `(batch, outputs, H', W')`.
    ///
    /// # Errors
    /// As [`Tape::conv_norm`].
    pub fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let ConvStep {
            weight,
            params,
            norm,
            activation,
        } = self.step(tape, x.size(), mode);
        let (y, moments) = tape.conv_norm(x, weight, params, &norm, activation)?;
        if self.of_batch(tape, mode) {
            let momentum = self.config.momentum;
            if moments.count < 2.0 {
                bail!(
                    "batch normalisation over one value a channel has no variance; use larger batches or larger photos"
                )
            }
            let unbiased: Vec<f64> = moments
                .var
                .iter()
                .map(|v| v * moments.count / (moments.count - 1.0))
                .collect();
            self.running_mean.inplace_op1(&Blend {
                towards: &moments.mean,
                share: momentum,
            })?;
            self.running_var.inplace_op1(&Blend {
                towards: &unbiased,
                share: momentum,
            })?;
        }
        Ok(y)
    }
}

/// The convolutions of an inverted residual (Sandler et al. 2018), one after the other: expansion, if there is one, depthwise,
/// projection; with `shortcut`, added to `x` as in [`residual`]. In one pass where nothing needs a gradient.
///
/// # Errors
/// As [`Tape::conv_norm`].
pub fn inverted_residual(
    tape: &mut Tape,
    x: &Map,
    convs: &[ConvNormAct],
    shortcut: Option<(f32, u64)>,
    mode: Mode,
) -> Result<Map> {
    let random = shortcut.is_some_and(|(rate, _)| rate > 0.0) && mode != Mode::Eval;
    if !random {
        let mut size = x.size();
        let steps: Vec<ConvStep> = convs
            .iter()
            .map(|conv| {
                let step = conv.step(tape, size, mode);
                size = conv.size(size);
                step
            })
            .collect();
        if let Some(y) = tape.inverted_residual(x, &steps, shortcut.is_some())? {
            return Ok(y);
        }
    }
    let mut y = x.clone();
    for conv in convs {
        y = conv.forward(tape, &y, mode)?;
    }
    match shortcut {
        Some((rate, stream)) => residual(tape, x, &y, rate, mode, stream),
        None => Ok(y),
    }
}

/// v = (1 − share) · v + share · towards, in place: running statistics are buffers that are saved and never optimised.
struct Blend<'a> {
    towards: &'a [f64],
    share: f64,
}

impl InplaceOp1 for Blend<'_> {
    fn name(&self) -> &'static str {
        "hydranet-running-statistics"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            bail!("running statistics must be contiguous")
        };
        let blend = |v: f64, t: f64| (1.0 - self.share) * v + self.share * t;
        match storage {
            CpuStorage::F32(v) => v[start..end]
                .iter_mut()
                .zip(self.towards)
                .for_each(|(v, t)| {
                    *v = blend(f64::from(*v), *t) as f32;
                }),
            CpuStorage::F64(v) => v[start..end]
                .iter_mut()
                .zip(self.towards)
                .for_each(|(v, t)| *v = blend(*v, *t)),
            _ => bail!("running statistics: expected f32 or f64"),
        }
        Ok(())
    }
}
