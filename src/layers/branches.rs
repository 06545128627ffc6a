//! Convolutions side by side that are one once nothing is trained.

use super::{ConvNormAct, ConvNormActConfig, Mode, Padding, residual};
use crate::tape::{Activation, Map, Tape, Weight};
use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;

/// Convolutions of the same input side by side, each behind a norm, and beside them the input itself behind a norm where shapes
/// allow; the activation of their sum. One convolution with bias if nothing of it is trained (structural re-parameterisation,
/// Ding et al. 2021).
#[derive(Clone, Debug)]
pub struct Branches {
    config: ConvNormActConfig,
    convs: Vec<ConvNormAct>,
    identity: Option<ConvNormAct>,
    merged: Option<(Weight, Tensor)>,
    drop_path: f32,
    stream: u64,
}

impl Branches {
    /// A layer over `<name>.conv` and `<name>.bn` of each of `convs`, a kernel and a name each, and over `identity`; `config` is
    /// that of the one convolution they become, whose kernel is the largest and whose padding is [`Padding::Symmetric`].
    ///
    /// # Errors
    /// If `vb` lacks a tensor, or no one convolution has the same result: with another padding, a kernel larger than that of
    /// `config`, or an even one beside an odd one (the input beside them is as a kernel of 1).
    pub fn new(
        config: ConvNormActConfig,
        convs: &[(usize, &str)],
        vb: &VarBuilder,
    ) -> Result<Self> {
        let beside = config.stride == 1 && config.inputs == config.outputs;
        let kernels = convs.iter().map(|(kernel, _)| *kernel);
        let largest = config.kernel;
        if config.padding != Padding::Symmetric {
            bail!(
                "branches: with padding {:?} no one convolution stands for them",
                config.padding
            )
        }
        for kernel in kernels.chain(beside.then_some(1)) {
            if kernel > largest || (largest - kernel) % 2 == 1 {
                bail!("branches: a kernel of {kernel} is no part of one of {largest}")
            }
        }
        let conv = |(kernel, name): &(usize, &str)| {
            let config = ConvNormActConfig {
                kernel: *kernel,
                activation: Activation::Identity,
                ..config
            };
            let vb = vb.pp(name);
            ConvNormAct::new(config, vb.pp("conv"), vb.pp("bn"))
        };
        let identity = if beside {
            let vb = vb.pp("identity");
            let (eps, momentum) = (config.eps, config.momentum);
            Some(ConvNormAct::norm(config.outputs, eps, momentum, vb)?)
        } else {
            None
        };
        let mut branches = Self {
            config,
            convs: convs.iter().map(conv).collect::<Result<_>>()?,
            identity,
            merged: None,
            drop_path: 0.0,
            stream: 0,
        };
        if let Some((weight, bias)) = branches.merged()? {
            let weight = Weight::new(weight.to_dtype(vb.dtype())?);
            branches.merged = Some((weight, bias.to_dtype(vb.dtype())?));
        }
        Ok(branches)
    }

    /// The same with drop-path at `rate` of the convolutions beside the input; see [`residual`].
    #[must_use]
    pub fn with_drop_path(self, rate: f32, stream: u64) -> Self {
        Self {
            drop_path: rate,
            stream,
            ..self
        }
    }

    /// Weight and bias of the one convolution, in f64; `None` if any of its tensors is trained.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub(crate) fn merged(&self) -> Result<Option<(Tensor, Tensor)>> {
        let mut sum: Option<(Tensor, Tensor)> = None;
        for (place, branch) in self.convs.iter().chain(&self.identity).enumerate() {
            let Some((mut weight, bias)) = branch.merged()? else {
                return Ok(None);
            };
            if place == self.convs.len() {
                weight = identity_weight(&weight, self.config.inputs / self.config.groups)?;
            }
            let weight = padded(&weight, self.config.kernel)?;
            sum = Some(match sum {
                None => (weight, bias),
                Some((w, b)) => ((w + weight)?, (b + bias)?),
            });
        }
        Ok(sum)
    }

    /// # Errors
    /// As [`Tape::conv_norm`].
    pub fn forward(&self, tape: &mut Tape, x: &Map, mode: Mode) -> Result<Map> {
        let ConvNormActConfig {
            kernel,
            stride,
            groups,
            padding,
            activation,
            ..
        } = self.config;
        let dropped = mode != Mode::Eval && self.drop_path > 0.0;
        if let (Some((weight, bias)), false) = (&self.merged, dropped) {
            let params = padding.params(x.size(), kernel, stride, groups);
            return tape.conv(x, weight, Some(bias), params, activation);
        }
        let mut sum: Option<Map> = None;
        for conv in &self.convs {
            let y = conv.forward(tape, x, mode)?;
            sum = Some(match sum {
                None => y,
                Some(sum) => tape.add(&sum, &y, None)?,
            });
        }
        let Some(mut sum) = sum else {
            bail!("branches without a convolution")
        };
        if let Some(identity) = &self.identity {
            let identity = identity.forward(tape, x, mode)?;
            sum = residual(tape, &identity, &sum, self.drop_path, mode, self.stream)?;
        }
        if activation == Activation::Identity {
            return Ok(sum);
        }
        tape.activation(&sum, activation)
    }
}

/// A weight with zeros around it, up to a kernel of `kernel` × `kernel`: that of a convolution with the same result.
pub(crate) fn padded(weight: &Tensor, kernel: usize) -> Result<Tensor> {
    let around = (kernel - weight.dim(2)?) / 2;
    weight
        .pad_with_zeros(2, around, around)?
        .pad_with_zeros(3, around, around)
}

/// The scale `(channels, 1, 1, 1)` of each channel as the pointwise weight of a convolution whose groups have `inputs` channels.
fn identity_weight(scale: &Tensor, inputs: usize) -> Result<Tensor> {
    let channels = scale.dim(0)?;
    let ones = Tensor::eye(inputs, DType::F64, scale.device())?;
    let ones = ones.repeat((channels / inputs, 1))?;
    ones.reshape((channels, inputs, 1, 1))?.broadcast_mul(scale)
}
