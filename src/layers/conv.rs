//! Convolutions as layers.

use super::{BatchNormMode, Mode};
use crate::tape::{
    Activation, BatchMoments, Conv2dParams, ConvStep, ConvWeight, Map, Norm, Statistics, Tape,
    Weight,
};
use candle_core::{DType, Device, Result, Tensor, bail};
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
    pub(super) fn params(
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

impl ConvConfig {
    /// Those of a convolution with a kernel of its own for each position of the result, all beside each other; with a kernel of 1
    /// it is pointwise.
    pub(crate) fn patches(
        (inputs, outputs): (usize, usize),
        kernel: usize,
        activation: Activation,
    ) -> Self {
        Self {
            inputs,
            outputs,
            kernel,
            stride: kernel,
            groups: 1,
            padding: Padding::None,
            activation,
        }
    }
}

impl Conv {
    /// A layer over `weight` and `bias` of `vb`; new ones are drawn as timm's, from a normal distribution of deviation 0.02.
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn new(config: ConvConfig, vb: VarBuilder) -> Result<Self> {
        Self::drawn(config, SMALL, vb)
    }

    /// The same, but new weights are drawn as those of a [`ConvNormAct`].
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn fan_out(config: ConvConfig, vb: VarBuilder) -> Result<Self> {
        let ConvConfig {
            outputs,
            kernel,
            groups,
            ..
        } = config;
        Self::drawn(config, fan_out(outputs, kernel, groups), vb)
    }

    fn drawn(config: ConvConfig, init: Init, vb: VarBuilder) -> Result<Self> {
        let shape = (
            config.outputs,
            config.inputs / config.groups,
            config.kernel,
            config.kernel,
        );
        Ok(Self {
            config,
            weight: Weight::new(vb.get_with_hints(shape, "weight", init)?),
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

/// First values by the number of outputs an input reaches (He et al. 2015), as TensorFlow's EfficientNet and timm.
fn fan_out(outputs: usize, kernel: usize, groups: usize) -> Init {
    Init::Randn {
        mean: 0.0,
        stdev: (2.0 / (kernel * kernel * outputs / groups) as f64).sqrt(),
    }
}

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

impl ConvNormActConfig {
    /// Inputs and outputs, kernel, stride and groups, and what is usual in PyTorch.
    pub(crate) fn new(
        (inputs, outputs): (usize, usize),
        (kernel, stride, groups): (usize, usize, usize),
        activation: Activation,
    ) -> Self {
        Self {
            inputs,
            outputs,
            kernel,
            stride,
            groups,
            padding: Padding::Symmetric,
            activation,
            eps: 1e-5,
            // As timm for all; TensorFlow's 0.01 is made for training from scratch.
            momentum: 0.1,
        }
    }
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
        let init = fan_out(outputs, kernel, groups);
        let shape = (outputs, inputs / groups, kernel, kernel);
        Self::over(config, conv.get_with_hints(shape, "weight", init)?, norm)
    }

    /// Batch normalisation alone: each channel under a convolution of one weight, 1.
    ///
    /// # Errors
    /// If `norm` lacks a tensor.
    pub fn norm(channels: usize, eps: f64, momentum: f64, norm: VarBuilder) -> Result<Self> {
        let config = ConvNormActConfig {
            eps,
            momentum,
            ..ConvNormActConfig::new((channels, channels), (1, 1, channels), Activation::Identity)
        };
        let ones = Tensor::ones((channels, 1, 1, 1), norm.dtype(), norm.device())?;
        Self::over(config, ones, norm)
    }

    fn over(config: ConvNormActConfig, weight: Tensor, norm: VarBuilder) -> Result<Self> {
        let outputs = config.outputs;
        // Moved in place wherever they come from, and no part of the graph.
        let buffer = |name: &str, first: f64| -> Result<Tensor> {
            Ok(norm
                .get_with_hints(outputs, name, Init::Const(first))?
                .detach())
        };
        Ok(Self {
            config,
            weight: Weight::new(weight),
            gamma: norm.get_with_hints(outputs, "weight", Init::Const(1.0))?,
            beta: norm.get_with_hints(outputs, "bias", Init::Const(0.0))?,
            running_mean: buffer("running_mean", 0.0)?,
            running_var: buffer("running_var", 1.0)?,
        })
    }

    /// The size of its output.
    pub(super) fn size(&self, (h, w): (usize, usize)) -> (usize, usize) {
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
                BatchNormMode::Train | BatchNormMode::Sync => true,
                BatchNormMode::Frozen => false,
                BatchNormMode::FrozenStages(n) => tape.stage() >= n,
            },
        };
        train && self.gamma.track_op()
    }

    /// The layer as a step of the tape, over an input of `size`.
    pub(super) fn step(&self, tape: &Tape, size: (usize, usize), mode: Mode) -> ConvStep<'_> {
        let ConvNormActConfig {
            kernel,
            stride,
            groups,
            activation,
            eps,
            ..
        } = self.config;
        let statistics = if self.of_batch(tape, mode) {
            Statistics::Batch
        } else {
            Statistics::Fixed {
                mean: self.running_mean.clone(),
                var: self.running_var.clone(),
            }
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

    /// Weight and bias of the convolution alone that gives the same with the running statistics, in f64: W · γ/σ and β − μ · γ/σ.
    /// `None` if any of its tensors is trained.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub(crate) fn merged(&self) -> Result<Option<(Tensor, Tensor)>> {
        let weight = self.weight.tensor();
        let trained = [weight, &self.gamma, &self.beta].map(Tensor::track_op);
        if trained.contains(&true) {
            return Ok(None);
        }
        let exact = |t: &Tensor| t.to_dtype(DType::F64);
        let deviation = (exact(&self.running_var)? + self.config.eps)?.sqrt()?;
        let scale = (exact(&self.gamma)? / deviation)?;
        let bias = (exact(&self.beta)? - (exact(&self.running_mean)? * &scale)?)?;
        let weight = exact(weight)?.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?;
        Ok(Some((weight, bias)))
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
        // Of parts that share their statistics one moves the running ones.
        if self.of_batch(tape, mode) && moments != BatchMoments::default() {
            let momentum = tape.momentum.unwrap_or(self.config.momentum);
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
            blend(&self.running_mean, &moments.mean, momentum)?;
            blend(&self.running_var, &unbiased, momentum)?;
        }
        Ok(y)
    }
}

/// v = (1 − share) · v + share · towards, in place: running statistics are buffers that are saved and never optimised.
fn blend(v: &Tensor, towards: &[f64], share: f64) -> Result<()> {
    // On the CPU: not every device has f64.
    let before: Vec<f64> = v.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec1()?;
    let after = before.iter().zip(towards);
    let after: Vec<f64> = after.map(|(v, t)| (1.0 - share) * v + share * t).collect();
    let after = Tensor::new(after, &Device::Cpu)?.to_dtype(v.dtype())?;
    v.slice_set(&after.to_device(v.device())?, 0, 0)
}
