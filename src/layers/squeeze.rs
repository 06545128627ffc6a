//! Squeeze-and-excitation (Hu et al. 2018) as a layer.

use super::{Conv, ConvConfig};
use crate::tape::{Activation, Map, Tape};
use candle_core::Result;
use candle_nn::VarBuilder;

/// Scales each channel of an image by a factor found from the means of all its channels.
#[derive(Clone, Debug)]
pub struct SqueezeExcite {
    reduce: Conv,
    expand: Conv,
}

/// The settings of a [`SqueezeExcite`].
#[derive(Clone, Copy, Debug)]
pub struct SqueezeConfig {
    /// Channels.
    pub channels: usize,
    /// Values between the two linear layers.
    pub reduced: usize,
    /// The activation between them.
    pub activation: Activation,
    /// The activation that makes the factors.
    pub gate: Activation,
}

impl SqueezeExcite {
    /// A layer over `conv_reduce` and `conv_expand` of `vb`.
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn new(config: SqueezeConfig, vb: VarBuilder) -> Result<Self> {
        Self::named(config, ["conv_reduce", "conv_expand"], vb)
    }

    /// The same with other names.
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn named(
        config: SqueezeConfig,
        [reduce, expand]: [&str; 2],
        vb: VarBuilder,
    ) -> Result<Self> {
        let SqueezeConfig {
            channels,
            reduced,
            activation,
            gate,
        } = config;
        let conv = |channels, activation, name| {
            Conv::fan_out(ConvConfig::patches(channels, 1, activation), vb.pp(name))
        };
        Ok(Self {
            reduce: conv((channels, reduced), activation, reduce)?,
            expand: conv((reduced, channels), gate, expand)?,
        })
    }

    /// # Errors
    /// As [`Tape::scale_channels`].
    pub fn forward(&self, tape: &mut Tape, x: Map) -> Result<Map> {
        let mean = tape.global_avg_pool(&x)?;
        let reduced = self.reduce.forward(tape, &mean)?;
        let gate = self.expand.forward(tape, &reduced)?;
        tape.scale_channels(x, &gate)
    }
}
