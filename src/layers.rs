//! Thin layers over `ops` and candle's `VarBuilder`.
//!
//! Whether a layer learns is not a flag: a layer built over variables is fine-tuned, a layer built over the tensors of a file is a
//! constant, and so are its batch-norm statistics.

use crate::draws::uniform;
use crate::ops::{self, Activation, Conv2dParams, Map, Norm, Statistics, Tape};
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, bail};
use candle_nn::{Init, VarBuilder};

/// Which statistics batch normalisation uses in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchNormMode {
    /// Those of the batch, and the running ones move.
    #[default]
    Train,
    /// The running ones, which stay.
    Frozen,
}

/// How a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Mode {
    /// For prediction: running statistics, nothing random.
    #[default]
    Eval,
    /// For one step of training.
    Train {
        /// Statistics of batch normalisation in layers that are trained.
        batch_norm: BatchNormMode,
        /// Key of this step's dropout and drop-path draws; the same key gives the same draws.
        key: u64,
    },
}

/// Each factor 0 with probability `rate`, else 1 / (1 − rate).
fn survival(rate: f32, count: usize, key: u64, stream: u64) -> Vec<f32> {
    let keep = 1.0 / (1.0 - rate);
    (0..count as u64)
        .map(|i| {
            if uniform(key, stream, i) < rate {
                0.0
            } else {
                keep
            }
        })
        .collect()
}

/// Dropout: in training each value is 0 with probability `rate`, else divided by 1 − rate. `stream` tells layers apart.
///
/// # Shapes
/// Any; the result has the same.
///
/// # Errors
/// As [`ops::scale`].
pub fn dropout(x: &Tensor, rate: f32, mode: Mode, stream: u64) -> Result<Tensor> {
    match mode {
        Mode::Train { key, .. } if rate > 0.0 => {
            ops::scale(x, survival(rate, x.elem_count(), key, stream))
        }
        _ => Ok(x.clone()),
    }
}

/// A residual connection with drop-path (stochastic depth, Huang et al. 2016): x + branch; in training an image's branch is left
/// out with probability `rate`, else divided by 1 − rate. `stream` tells layers apart.
///
/// # Errors
/// As [`Tape::add`].
pub fn residual(
    tape: &mut Tape,
    x: &Map,
    branch: &Map,
    rate: f32,
    mode: Mode,
    stream: u64,
) -> Result<Map> {
    let factors = match mode {
        Mode::Train { key, .. } if rate > 0.0 => Some(survival(rate, x.batch(), key, stream)),
        _ => None,
    };
    tape.add(x, branch, factors)
}

/// y = x·Wᵀ + b.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// A layer over `weight` `(outputs, inputs)` and `bias` `(outputs)`; new ones are drawn from ±1/√inputs, as in PyTorch.
    ///
    /// # Errors
    /// If `vb` lacks the tensors.
    pub fn new(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        let bound = 1.0 / (inputs as f64).sqrt();
        let init = Init::Uniform {
            lo: -bound,
            up: bound,
        };
        Ok(Self {
            weight: vb.get_with_hints((outputs, inputs), "weight", init)?,
            bias: vb.get_with_hints(outputs, "bias", init)?,
        })
    }

    /// # Shapes
    /// `x` `(batch, inputs)`; result `(batch, outputs)`.
    ///
    /// # Errors
    /// As [`ops::linear`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.weight, Some(&self.bias))
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
    /// The activation.
    pub activation: Activation,
    /// Added to the variance.
    pub eps: f64,
    /// Share of the batch's statistics in the new running ones, as in PyTorch.
    pub momentum: f64,
}

/// Convolution without bias (padding as TensorFlow's `SAME`), batch normalisation, activation.
#[derive(Clone, Debug)]
pub struct ConvNormAct {
    config: ConvNormActConfig,
    weight: Tensor,
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
            weight: conv.get_with_hints(shape, "weight", init)?,
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
    /// `x` `(batch, inputs, H, W)`; result `(batch, outputs, ⌈H / stride⌉, ⌈W / stride⌉)`.
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
        let params = Conv2dParams {
            stride: (stride, stride),
            groups,
            ..Default::default()
        };
        let params = params.same_padding(x.size(), (kernel, kernel));
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
