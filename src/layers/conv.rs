//! Convolutions as layers.

use super::{BatchNormMode, Mode};
use crate::ops::{Activation, Conv2dParams, Map, Norm, Statistics, Tape, Weight};
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

    /// In training, if the layer is trained and batch norm is in train mode, the batch's statistics are used and the running ones
    /// move towards them (the variance unbiased), as in PyTorch.
    ///
    /// # Shapes
    /// `x` `(batch, inputs, H, W)`; result `(batch, outputs, H', W')`.
    ///
    /// # Errors
    /// As [`Tape::conv_norm`].
    pub fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let ConvNormActConfig {
            kernel,
            stride,
            groups,
            activation,
            eps,
            momentum,
            ..
        } = self.config;
        let params = self.config.padding.params(x.size(), kernel, stride, groups);
        let of_batch = matches!(
            mode,
            Mode::Train {
                batch_norm: BatchNormMode::Train,
                ..
            }
        ) && self.gamma.track_op();
        let statistics = if of_batch {
            Statistics::Batch
        } else {
            Statistics::Fixed {
                mean: self.running_mean.clone(),
                var: self.running_var.clone(),
            }
        };
        let norm = Norm {
            gamma: &self.gamma,
            beta: &self.beta,
            eps,
            statistics,
        };
        let (y, moments) = tape.conv_norm(x, &self.weight, params, &norm, activation)?;
        if of_batch {
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
