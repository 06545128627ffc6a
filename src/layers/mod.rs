//! Thin layers over a tape and candle's `VarBuilder`.
//!
//! Whether a layer learns is not a flag: a layer built over variables is fine-tuned, a layer built over the tensors of a file is
//! a constant, and so are its batch-norm statistics.

use crate::random::init::uniform;
use crate::tape::{self, Activation, Conv2dParams, ConvWeight, Map, Tape, Weight};
use candle_core::{Result, Tensor};
use candle_nn::{Init, VarBuilder};

mod branches;
mod conv;
mod inverted;
mod squeeze;

pub use branches::Branches;
pub(crate) use branches::padded;
pub(crate) use conv::SMALL;
pub use conv::{Conv, ConvConfig, ConvNormAct, ConvNormActConfig, Padding};
pub use inverted::inverted_residual;
pub use squeeze::{SqueezeConfig, SqueezeExcite};

/// Which statistics batch normalisation uses in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BatchNormMode {
    /// Those of the batch, and the running ones move; of a batch that is computed in parts, those of each part.
    #[default]
    Train,
    /// Those of the whole batch, in whatever parts it is computed, and the running ones move: "synchronised batch normalisation".
    Sync,
    /// The running ones, which stay.
    Frozen,
    /// The running ones in the first stages, those of the batch in the others.
    FrozenStages(usize),
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
/// As [`tape::scale`].
pub fn dropout(x: &Tensor, rate: f32, mode: Mode, stream: u64) -> Result<Tensor> {
    match mode {
        Mode::Train { key, .. } if rate > 0.0 => {
            tape::scale(x, survival(rate, x.elem_count(), key, stream))
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
    weight: Weight,
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
            weight: Weight::new(vb.get_with_hints((outputs, inputs), "weight", init)?),
            bias: vb.get_with_hints(outputs, "bias", init)?,
        })
    }

    /// The same, but a new weight is drawn by `init`, and a new bias is 0.
    ///
    /// # Errors
    /// If `vb` lacks the tensors.
    pub fn with_init(inputs: usize, outputs: usize, init: Init, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: Weight::new(vb.get_with_hints((outputs, inputs), "weight", init)?),
            bias: vb.get_with_hints(outputs, "bias", Init::Const(0.0))?,
        })
    }

    /// A layer over a `weight` `(outputs, inputs, 1, 1)`, that of a pointwise convolution, for maps only; a new one is drawn from
    /// a normal distribution of deviation 0.02, as timm's.
    ///
    /// # Errors
    /// If `vb` lacks the tensors.
    pub fn pointwise(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: Weight::new(vb.get_with_hints((outputs, inputs, 1, 1), "weight", SMALL)?),
            bias: vb.get_with_hints(outputs, "bias", Init::Const(0.0))?,
        })
    }

    /// `weight`.
    pub(crate) fn weight(&self) -> &Tensor {
        self.weight.tensor()
    }

    /// `bias`.
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }

    /// The layer at every position of a map, the result scaled channel by channel.
    ///
    /// # Shapes
    /// `gamma` `(outputs)`.
    ///
    /// # Errors
    /// As [`Tape::conv_scaled`].
    pub fn on_tape_scaled(&self, tape: &mut Tape, x: &Map, gamma: &Tensor) -> Result<Map> {
        let params = Conv2dParams::default();
        tape.conv_scaled(x, &self.weight, &self.bias, gamma, params)
    }

    /// The layer at every position of a map, and an activation.
    ///
    /// # Errors
    /// As [`Tape::linear`].
    pub fn on_tape(&self, tape: &mut Tape, x: &Map, activation: Activation) -> Result<Map> {
        tape.linear(x, &self.weight, Some(&self.bias), activation)
    }

    /// # Shapes
    /// `x` `(batch, inputs)`; result `(batch, outputs)`.
    ///
    /// # Errors
    /// As [`tape::linear`].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        tape::linear(x, self.weight.tensor(), Some(&self.bias))
    }
}

/// Layer normalisation over the channels.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    gamma: Tensor,
    beta: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// A layer over `weight` and `bias` of `vb`.
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn new(channels: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            gamma: vb.get_with_hints(channels, "weight", Init::Const(1.0))?,
            beta: vb.get_with_hints(channels, "bias", Init::Const(0.0))?,
            eps,
        })
    }

    /// # Errors
    /// As [`Tape::layer_norm`].
    pub fn forward(&self, tape: &mut Tape, x: &Map) -> Result<Map> {
        tape.layer_norm(x, &self.gamma, &self.beta, self.eps)
    }
}
