//! A tape's steps as data: what a network does, without doing it, for whoever writes it down in another language.
//!
//! The methods are those of the [`Engine`](super::engine::Engine). What follows a convolution is brought to its simplest form, a scale
//! and a shift of each channel.

use super::chain::Link;
use super::follow::Follow;
use super::layout::Layout;
use super::weight::ConvWeight;
use super::windows::WindowAttention;
use crate::avg_pool::AvgPool2dParams;
use crate::geometry::{Conv2dParams, Geometry};
use crate::max_pool::MaxPool2dParams;
use crate::norm::{Activation, BatchMoments};
use candle_core::{Result, Tensor, bail};
use std::sync::Arc;

/// One step. Maps are called by their places: that of the images is 0, that of what step i gives is i + 1.
pub enum Step {
    /// activation(convolution · scale + shift); a weight `(O, C)` is that of a linear layer at every position.
    Conv {
        x: usize,
        weight: Tensor,
        params: Conv2dParams,
        scale: Option<Vec<f64>>,
        shift: Option<Vec<f64>>,
        activation: Activation,
    },
    LayerNorm {
        x: usize,
        gamma: Tensor,
        beta: Tensor,
        eps: f64,
    },
    ResponseNorm {
        x: usize,
        gamma: Tensor,
        beta: Tensor,
        eps: f64,
    },
    Activation {
        x: usize,
        activation: Activation,
    },
    Attention {
        x: usize,
        heads: usize,
    },
    WindowAttention {
        x: usize,
        layout: Layout,
        bias: Tensor,
        filling: Tensor,
    },
    Merge {
        x: usize,
    },
    Tokens {
        x: usize,
        prefix: Tensor,
        positions: Tensor,
    },
    Token {
        x: usize,
        place: usize,
    },
    Add {
        x: usize,
        y: usize,
    },
    GlobalAvgPool {
        x: usize,
    },
    ScaleChannels {
        x: usize,
        gate: usize,
    },
    AvgPool {
        x: usize,
        params: AvgPool2dParams,
    },
    MaxPool {
        x: usize,
        params: MaxPool2dParams,
    },
}

/// The steps so far.
pub struct Record {
    /// In order.
    pub steps: Vec<Step>,
    /// (batch, H, W, channels) by place.
    pub dims: Vec<[usize; 4]>,
}

type Placed = (usize, Arc<()>);

impl Record {
    /// Nothing yet but images of these dimensions.
    pub(super) fn new(images: [usize; 4]) -> Self {
        Self {
            steps: Vec::new(),
            dims: vec![images],
        }
    }

    fn push(&mut self, step: Step, dims: [usize; 4]) -> Placed {
        self.steps.push(step);
        self.dims.push(dims);
        // Nothing is let go of: there are no values.
        (self.dims.len() - 1, Arc::new(()))
    }

    pub(super) fn sweep(&mut self) {}

    /// (batch, H, W, channels).
    pub(super) fn dims(&self, place: usize) -> [usize; 4] {
        self.dims[place]
    }

    /// `(batch, channels, H, W)`.
    fn shape(&self, place: usize) -> [usize; 4] {
        let [batch, h, w, c] = self.dims(place);
        [batch, c, h, w]
    }

    pub(super) fn conv(
        &mut self,
        x: usize,
        weight: &dyn ConvWeight,
        params: Conv2dParams,
        follow: &Follow,
    ) -> Result<(usize, Arc<()>, BatchMoments)> {
        let weight = weight.tensor();
        let mut shape = weight.dims().to_vec();
        if shape.len() == 2 {
            shape.extend([1, 1]);
        }
        let g = Geometry::new(&self.shape(x), &shape, params)?;
        let Some((scale, shift)) = follow.affine(g.o)? else {
            bail!("a normalisation by a batch's own statistics cannot be written down")
        };
        let scaled = follow.gamma.is_some() || follow.norm.is_some();
        let shifted = scaled || follow.beta.is_some() || follow.bias.is_some();
        let step = Step::Conv {
            x,
            weight: weight.clone(),
            params,
            scale: scaled.then_some(scale),
            shift: shifted.then_some(shift),
            activation: follow.activation,
        };
        let (place, token) = self.push(step, [g.batch, g.oh, g.ow, g.o]);
        Ok((place, token, BatchMoments::default()))
    }

    /// Always step by step.
    pub(super) fn chain(
        &mut self,
        _x: usize,
        _expansion: Option<&Link>,
        _last: [&Link; 2],
        _shortcut: bool,
    ) -> Result<Option<Placed>> {
        Ok(None)
    }

    pub(super) fn layer_norm(
        &mut self,
        x: usize,
        gamma: &Tensor,
        beta: &Tensor,
        eps: f64,
    ) -> Result<Placed> {
        let (gamma, beta) = (gamma.clone(), beta.clone());
        let step = Step::LayerNorm {
            x,
            gamma,
            beta,
            eps,
        };
        Ok(self.push(step, self.dims(x)))
    }

    pub(super) fn global_response_norm(
        &mut self,
        x: usize,
        gamma: &Tensor,
        beta: &Tensor,
        eps: f64,
    ) -> Result<Placed> {
        let (gamma, beta) = (gamma.clone(), beta.clone());
        let step = Step::ResponseNorm {
            x,
            gamma,
            beta,
            eps,
        };
        Ok(self.push(step, self.dims(x)))
    }

    pub(super) fn activation(&mut self, x: usize, activation: Activation) -> Result<Placed> {
        Ok(self.push(Step::Activation { x, activation }, self.dims(x)))
    }

    pub(super) fn attention(&mut self, x: usize, heads: usize) -> Result<Placed> {
        let [batch, h, w, c] = self.dims(x);
        if heads == 0 || c % (3 * heads) != 0 {
            bail!("attention: {c} channels are not queries, keys and values of {heads} heads")
        }
        Ok(self.push(Step::Attention { x, heads }, [batch, h, w, c / 3]))
    }

    pub(super) fn window_attention(
        &mut self,
        x: usize,
        attention: &WindowAttention,
    ) -> Result<Placed> {
        let [batch, h, w, c] = self.dims(x);
        let step = Step::WindowAttention {
            x,
            layout: Layout::new([batch, h, w, c], attention)?,
            bias: attention.bias.clone(),
            filling: attention.filling.clone(),
        };
        Ok(self.push(step, [batch, h, w, c / 3]))
    }

    pub(super) fn merge(&mut self, x: usize) -> Result<Placed> {
        let [batch, h, w, c] = self.dims(x);
        let dims = [batch, h.div_ceil(2), w.div_ceil(2), 4 * c];
        Ok(self.push(Step::Merge { x }, dims))
    }

    pub(super) fn tokens(
        &mut self,
        x: usize,
        prefix: &Tensor,
        positions: &Tensor,
    ) -> Result<Placed> {
        let [batch, h, w, c] = self.dims(x);
        let dims = [batch, 1, prefix.dim(1)? + h * w, c];
        let step = Step::Tokens {
            x,
            prefix: prefix.clone(),
            positions: positions.clone(),
        };
        Ok(self.push(step, dims))
    }

    pub(super) fn token(&mut self, x: usize, place: usize) -> Result<Placed> {
        let [batch, _, _, c] = self.dims(x);
        Ok(self.push(Step::Token { x, place }, [batch, 1, 1, c]))
    }

    pub(super) fn add(&mut self, x: usize, y: usize, factors: Option<Vec<f32>>) -> Result<Placed> {
        if factors.is_some() {
            bail!("drop-path is of training and cannot be written down")
        }
        Ok(self.push(Step::Add { x, y }, self.dims(x)))
    }

    pub(super) fn global_avg_pool(&mut self, x: usize) -> Result<Placed> {
        let [batch, _, _, c] = self.dims(x);
        Ok(self.push(Step::GlobalAvgPool { x }, [batch, 1, 1, c]))
    }

    pub(super) fn scale_channels(&mut self, x: usize, gate: usize, _last: bool) -> Result<Placed> {
        Ok(self.push(Step::ScaleChannels { x, gate }, self.dims(x)))
    }

    pub(super) fn avg_pool(&mut self, x: usize, params: AvgPool2dParams) -> Result<Placed> {
        let [batch, c, h, w] = params.windows(&self.shape(x))?.out_shape();
        Ok(self.push(Step::AvgPool { x, params }, [batch, h, w, c]))
    }

    pub(super) fn max_pool(
        &mut self,
        x: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Result<Placed> {
        let params = MaxPool2dParams::new(kernel, stride).padding(padding);
        let [batch, c, h, w] = params.windows(&self.shape(x))?.out_shape();
        Ok(self.push(Step::MaxPool { x, params }, [batch, h, w, c]))
    }
}
