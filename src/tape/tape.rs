//! The methods by which a network asks for its steps.

use crate::epilogue::{Epilogue, FusedConv};
use crate::norm::{BatchMoments, Norm};
use crate::step::{Interpreter, NormStep, Output, Record, Step};
use crate::values::fits;
use crate::watch::Watch;
use crate::weight::ConvWeight;
use candle_core::{Result, Tensor, Var, bail};
use hydranet_kernels::activation::Activation;
use hydranet_kernels::geometry::Conv2dParams;
use hydranet_kernels::pool::AvgPool2dParams;
use hydranet_kernels::window_layout::WindowLayout;
use std::fmt;
use std::sync::Arc;

/// A handle of one map of a [`Tape`]; its memory is freed with the last handle, unless a backward pass needs it.
#[derive(Clone, Debug)]
pub struct Map {
    /// The tape it is of.
    tape: Arc<()>,
    place: usize,
    dims: [usize; 4],
    _token: Arc<()>,
}

impl Map {
    /// Images.
    pub fn batch(&self) -> usize {
        self.dims[0]
    }

    /// (height, width).
    pub fn size(&self) -> (usize, usize) {
        (self.dims[1], self.dims[2])
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.dims[3]
    }
}

/// A convolution with batch normalisation and activation, as a step of [`Tape::inverted_residual`].
#[doc(hidden)]
pub struct ConvStep<'a> {
    /// As in [`Tape::conv_norm`].
    pub weight: &'a dyn ConvWeight,
    /// Stride, padding, groups.
    pub params: Conv2dParams,
    /// The normalisation.
    pub norm: Norm<'a>,
    /// The activation.
    pub activation: Activation,
}

/// What an attention within windows needs beside its map.
#[derive(Clone, Copy, Debug)]
pub struct WindowAttention<'a> {
    /// Heads.
    pub heads: usize,
    /// Height and width of a window.
    pub side: usize,
    /// By how many positions the map is rolled up and left before it is cut; positions that become neighbours by that do not see
    /// each other.
    pub shift: usize,
    /// What is added to a score, by the distance of its query and its key: `((2 · side − 1)², heads)`.
    pub bias: &'a Tensor,
    /// Queries, keys and values of the positions that fill up the last windows of a map: `(3 · heads · dim)`. Of a linear layer,
    /// its bias, which is what it makes of zeros.
    pub filling: &'a Tensor,
}

/// A forward pass being recorded.
pub struct Tape {
    interpreter: Box<dyn Interpreter>,
    /// Shared with its maps.
    identity: Arc<()>,
    /// (batch, H, W, channels) of the maps so far.
    dims: Vec<[usize; 4]>,
    stage: usize,
    /// The share of a batch in running statistics, if it is not each layer's own.
    pub momentum: Option<f64>,
    /// What each attention was, where that is asked for.
    attended: Option<Vec<Attended>>,
}

/// What an attention was computed from, and what its result depends on.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Attended {
    /// Queries, keys and values, each head after head: `(batch, 3 · heads · dim, 1, tokens)`.
    pub qkv: Tensor,
    /// The number of heads.
    pub heads: usize,
    /// Zeros `(batch, 1, tokens, heads · dim)` that were added to the result: their gradient is that at the result.
    pub offset: Var,
}

impl fmt::Debug for ConvStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("ConvStep")
            .field("params", &self.params)
            .field("activation", &self.activation)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Tape")
            .field("maps", &self.dims.len())
            .field("momentum", &self.momentum)
            .finish_non_exhaustive()
    }
}

impl Tape {
    /// A tape over images of (batch, H, W, channels) that are the interpreter's first map.
    pub(crate) fn over(
        interpreter: Box<dyn Interpreter>,
        dims: [usize; 4],
        token: Arc<()>,
    ) -> (Self, Map) {
        let mut tape = Self {
            interpreter,
            identity: Arc::default(),
            dims: Vec::new(),
            stage: 0,
            momentum: None,
            attended: None,
        };
        let map = tape.map(dims, token);
        (tape, map)
    }

    /// The steps written down, and the place of `map` among them.
    ///
    /// # Errors
    /// If the tape computes, or the map is of another one.
    #[doc(hidden)]
    pub fn into_record(self, map: &Map) -> Result<(Record, usize)> {
        let place = self.place(map)?;
        Ok((self.interpreter.into_record()?, place))
    }

    /// Keeps what backward needs as bfloat16, half the bytes a value. The forward pass stays as it is, and so do the inputs of
    /// attention; gradients are off by about as much as the rounding, 2⁻⁹. Of no effect where candle's graph keeps the values.
    pub fn round_kept_values(&mut self) {
        self.interpreter.round_kept_values();
    }

    /// Lets the pass be seen while it runs.
    ///
    /// # Errors
    /// If statistics are to be shared and it does not run on the CPU's kernels.
    #[doc(hidden)]
    pub fn set_watch(&mut self, watch: &Arc<dyn Watch>) -> Result<()> {
        self.interpreter.set_watch(watch)
    }

    /// From now on keeps what each attention of all positions to each other was.
    #[doc(hidden)]
    pub fn watch_attention(&mut self) {
        self.attended = Some(Vec::new());
    }

    /// What each attention was since it is kept, in their order.
    #[doc(hidden)]
    pub fn attended(&mut self) -> Vec<Attended> {
        self.attended.take().unwrap_or_default()
    }

    /// Stages of the network that are done.
    #[doc(hidden)]
    pub fn stage(&self) -> usize {
        self.stage
    }

    /// Counts a stage.
    #[doc(hidden)]
    pub fn stage_done(&mut self) {
        self.stage += 1;
    }

    /// The place of a map of this tape.
    fn place(&self, map: &Map) -> Result<usize> {
        if !Arc::ptr_eq(&self.identity, &map.tape) {
            bail!("a map of another tape")
        }
        Ok(map.place)
    }

    /// A handle of the newest map.
    fn map(&mut self, dims: [usize; 4], token: Arc<()>) -> Map {
        self.dims.push(dims);
        Map {
            tape: self.identity.clone(),
            place: self.dims.len() - 1,
            dims,
            _token: token,
        }
    }

    /// Does a step.
    fn run(&mut self, step: Step) -> Result<Map> {
        Ok(self.run_with_moments(step)?.0)
    }

    fn run_with_moments(&mut self, step: Step) -> Result<(Map, BatchMoments)> {
        let dims = step.dims(&self.dims)?;
        let Output { token, moments } = self.interpreter.step(step, dims)?;
        let map = self.map(dims, token);
        self.interpreter.sweep();
        Ok((map, moments))
    }

    /// Convolution, batch normalisation, activation. The second value holds the batch's moments with
    /// [`Statistics::Batch`](crate::Statistics::Batch); it is empty with fixed ones.
    ///
    /// # Shapes
    /// `weight` `(O, C / groups, kh, kw)`, see [`Conv2dParams`].
    ///
    /// # Errors
    /// If shapes or types do not fit.
    pub fn conv_norm(
        &mut self,
        x: &Map,
        weight: &dyn ConvWeight,
        params: Conv2dParams,
        norm: &Norm,
        activation: Activation,
    ) -> Result<(Map, BatchMoments)> {
        self.fused(x, weight, params, Epilogue::norm(norm, activation))
    }

    fn fused(
        &mut self,
        x: &Map,
        weight: &dyn ConvWeight,
        params: Conv2dParams,
        epilogue: Epilogue,
    ) -> Result<(Map, BatchMoments)> {
        let conv = FusedConv::new(weight, params, epilogue);
        let x = self.place(x)?;
        self.run_with_moments(Step::Conv { x, conv })
    }

    /// Convolution with optional bias, and an activation.
    ///
    /// # Shapes
    /// `weight` as [`conv_norm`](Self::conv_norm), `bias` `(O)`.
    ///
    /// # Errors
    /// As [`conv_norm`](Self::conv_norm).
    pub fn conv(
        &mut self,
        x: &Map,
        weight: &dyn ConvWeight,
        bias: Option<&Tensor>,
        params: Conv2dParams,
        activation: Activation,
    ) -> Result<Map> {
        let epilogue = Epilogue {
            beta: bias.cloned(),
            activation,
            ..Epilogue::default()
        };
        Ok(self.fused(x, weight, params, epilogue)?.0)
    }

    /// (Convolution + bias) · gamma: a convolution whose output is scaled channel by channel ("layer scale", Touvron et al.
    /// 2021).
    ///
    /// # Shapes
    /// As [`conv`](Self::conv); `gamma` `(O)`.
    ///
    /// # Errors
    /// As [`conv_norm`](Self::conv_norm).
    pub fn conv_scaled(
        &mut self,
        x: &Map,
        weight: &dyn ConvWeight,
        bias: &Tensor,
        gamma: &Tensor,
        params: Conv2dParams,
    ) -> Result<Map> {
        let epilogue = Epilogue {
            bias: Some(bias.clone()),
            gamma: Some(gamma.clone()),
            ..Epilogue::default()
        };
        Ok(self.fused(x, weight, params, epilogue)?.0)
    }

    /// An inverted residual (Sandler et al. 2018) in one pass, where nothing of it needs a gradient: expansion, if there is one,
    /// depthwise convolution, projection, and the input added if `shortcut`. `None` where it has to be done step by step; the
    /// values are the same.
    ///
    /// # Errors
    /// As [`conv_norm`](Self::conv_norm).
    #[doc(hidden)]
    pub fn inverted_residual(
        &mut self,
        x: &Map,
        steps: &[ConvStep],
        shortcut: bool,
    ) -> Result<Option<Map>> {
        let convs: Vec<FusedConv> = steps
            .iter()
            .map(|step| {
                let epilogue = Epilogue::norm(&step.norm, step.activation);
                FusedConv::new(step.weight, step.params, epilogue)
            })
            .collect();
        let x = self.place(x)?;
        let Some((dims, output)) = self.interpreter.chain(x, &convs, shortcut)? else {
            return Ok(None);
        };
        let map = self.map(dims, output.token);
        self.interpreter.sweep();
        Ok(Some(map))
    }

    /// A linear layer at every position, and an activation.
    ///
    /// # Shapes
    /// `weight` `(O, C)`, `bias` `(O)`.
    ///
    /// # Errors
    /// As [`conv_norm`](Self::conv_norm).
    pub fn linear(
        &mut self,
        x: &Map,
        weight: &dyn ConvWeight,
        bias: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Map> {
        self.conv(x, weight, bias, Conv2dParams::default(), activation)
    }

    /// Layer normalisation over the channels of each position.
    ///
    /// # Shapes
    /// `gamma` and `beta` `(C)`.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn layer_norm(&mut self, x: &Map, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Map> {
        let norm = self.norm_step(x, [gamma, beta], eps)?;
        self.run(Step::LayerNorm(norm))
    }

    /// Global response normalisation (Woo et al. 2023): with gᵢ the norm of channel i over all positions of an image and
    /// nᵢ = gᵢ / (mean of g + eps), x · (1 + gammaᵢ · nᵢ) + betaᵢ.
    ///
    /// # Shapes
    /// `gamma` and `beta` `(C)`.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn global_response_norm(
        &mut self,
        x: &Map,
        gamma: &Tensor,
        beta: &Tensor,
        eps: f64,
    ) -> Result<Map> {
        let norm = self.norm_step(x, [gamma, beta], eps)?;
        self.run(Step::ResponseNorm(norm))
    }

    fn norm_step(&self, x: &Map, [gamma, beta]: [&Tensor; 2], eps: f64) -> Result<NormStep> {
        Ok(NormStep {
            x: self.place(x)?,
            gamma: gamma.clone(),
            beta: beta.clone(),
            eps,
        })
    }

    /// An activation.
    ///
    /// # Errors
    /// If the map is of another tape.
    pub fn activation(&mut self, x: &Map, activation: Activation) -> Result<Map> {
        let x = self.place(x)?;
        self.run(Step::Activation { x, activation })
    }

    /// Scaled dot-product attention of every image's positions to each other, scale 1 / √dim (Vaswani et al. 2017). The channels
    /// are queries, keys and values of all heads: (3, heads, dim), as timm's `qkv`.
    ///
    /// # Shapes
    /// `x` has 3 · heads · dim channels, the result heads · dim.
    ///
    /// # Errors
    /// If the channels cannot be split so.
    pub fn attention(&mut self, x: &Map, heads: usize) -> Result<Map> {
        let place = self.place(x)?;
        let y = self.run(Step::Attention { x: place, heads })?;
        if self.attended.is_none() {
            return Ok(y);
        }
        let qkv = self.tensor(x)?;
        let offset = Var::zeros(&y.dims, qkv.dtype(), qkv.device())?;
        let y = self.offset(&y, offset.as_tensor())?;
        self.attended
            .get_or_insert_default()
            .push(Attended { qkv, heads, offset });
        Ok(y)
    }

    /// [`attention`](Self::attention) among the positions of each window of a map (Liu et al. 2021), with a bias for each
    /// distance of two positions, see [`WindowAttention`]. A map that is not made of whole windows is filled up at its bottom and
    /// right, after it has been rolled.
    ///
    /// # Shapes
    /// `x` has 3 · heads · dim channels, the result heads · dim.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn window_attention(&mut self, x: &Map, attention: &WindowAttention) -> Result<Map> {
        let WindowAttention {
            heads,
            side,
            shift,
            bias,
            filling,
        } = *attention;
        let step = Step::WindowAttention {
            x: self.place(x)?,
            layout: fits(WindowLayout::new(x.dims, heads, side, shift))?,
            bias: bias.clone(),
            filling: filling.clone(),
        };
        self.run(step)
    }

    /// Four positions in a square become one, whose channels are those of the upper left, the lower left, the upper right and the
    /// lower right one (Liu et al. 2021). A map of odd height or width is continued by zeros.
    ///
    /// # Shapes
    /// The result is a map of ⌈H / 2⌉ × ⌈W / 2⌉ with 4 · channels.
    ///
    /// # Errors
    /// If the map is of another tape.
    pub fn merge(&mut self, x: &Map) -> Result<Map> {
        let x = self.place(x)?;
        self.run(Step::Merge { x })
    }

    /// Positions as tokens in a row, behind the tokens of `prefix`, with `positions` added to all of them, or to those behind the
    /// prefix alone.
    ///
    /// # Shapes
    /// `prefix` `(1, p, channels)`, `positions` `(1, p + H · W, channels)` or `(1, H · W, channels)`; the result is a map of
    /// 1 × (p + H · W).
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn tokens(&mut self, x: &Map, prefix: &Tensor, positions: &Tensor) -> Result<Map> {
        let (x, prefix, positions) = (self.place(x)?, prefix.clone(), positions.clone());
        self.run(Step::Tokens {
            x,
            prefix,
            positions,
        })
    }

    /// One token of each image, as a map of 1 × 1.
    ///
    /// # Errors
    /// If there is no such token.
    pub fn token(&mut self, x: &Map, place: usize) -> Result<Map> {
        self.tokens_from(x, place, 1)
    }

    /// `count` tokens of each image from the one at `place` on, as a map of 1 × `count`.
    ///
    /// # Errors
    /// If there are not so many.
    #[doc(hidden)]
    pub fn tokens_from(&mut self, x: &Map, place: usize, count: usize) -> Result<Map> {
        let x = self.place(x)?;
        self.run(Step::Token { x, place, count })
    }

    /// Maps behind each other in one row, as a map of 1 × 1: of each image the planes `(channels, H, W)` of the first, then
    /// those of the next.
    ///
    /// # Shapes
    /// The result has Σ channels · H · W channels.
    ///
    /// # Errors
    /// If there is none, or one is of another tape.
    #[doc(hidden)]
    pub fn row(&mut self, maps: &[Map]) -> Result<Map> {
        let maps = maps.iter().map(|map| self.place(map));
        let maps = maps.collect::<Result<_>>()?;
        self.run(Step::Row { maps })
    }

    /// A map with a tensor `(batch, H, W, channels)` added: with a variable of zeros, whose gradient then is that at the map.
    ///
    /// # Errors
    /// If the shape is another.
    #[doc(hidden)]
    pub fn offset(&mut self, x: &Map, offset: &Tensor) -> Result<Map> {
        let (x, offset) = (self.place(x)?, offset.contiguous()?);
        self.run(Step::Offset { x, offset })
    }

    /// x + factor · y, with one factor an image (drop-path) or none.
    ///
    /// # Errors
    /// If shapes differ.
    pub fn add(&mut self, x: &Map, y: &Map, factors: Option<Vec<f32>>) -> Result<Map> {
        let (x, y) = (self.place(x)?, self.place(y)?);
        self.run(Step::Add { x, y, factors })
    }

    /// The mean of each channel over all positions, as a map of 1 × 1.
    ///
    /// # Errors
    /// If the map is of another tape.
    pub fn global_avg_pool(&mut self, x: &Map) -> Result<Map> {
        let x = self.place(x)?;
        self.run(Step::GlobalAvgPool { x })
    }

    /// Each channel of each image times its own factor, as squeeze-and-excitation does (Hu et al. 2018). Without history the
    /// map's own memory is used if nobody else holds it.
    ///
    /// # Shapes
    /// `gate` is a map of 1 × 1 with as many images and channels as `x`.
    ///
    /// # Errors
    /// If shapes differ.
    pub fn scale_channels(&mut self, x: Map, gate: &Map) -> Result<Map> {
        let (place, gate) = (self.place(&x)?, self.place(gate)?);
        drop(x);
        self.run(Step::ScaleChannels { x: place, gate })
    }

    /// The mean of each window, as PyTorch's `avg_pool2d`.
    ///
    /// # Errors
    /// If the settings do not fit the map.
    pub fn avg_pool(&mut self, x: &Map, params: AvgPool2dParams) -> Result<Map> {
        let x = self.place(x)?;
        self.run(Step::AvgPool { x, params })
    }

    /// The greatest value of each window of `kernel` × `kernel`, `stride` apart, as PyTorch's `max_pool2d`: the first of equal
    /// ones gets the gradient, padding is never taken.
    ///
    /// # Errors
    /// If the window does not fit.
    pub fn max_pool(
        &mut self,
        x: &Map,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Result<Map> {
        let x = self.place(x)?;
        self.run(Step::MaxPool {
            x,
            kernel,
            stride,
            padding,
        })
    }

    /// A map's values as they stand, without history.
    ///
    /// # Shapes
    /// Result `(batch, channels, H, W)`.
    ///
    /// # Errors
    /// If the tensor cannot be made.
    pub fn tensor(&mut self, map: &Map) -> Result<Tensor> {
        self.interpreter.tensor(self.place(map)?)
    }

    /// Ends the tape: the map as a tensor of candle's graph.
    ///
    /// # Shapes
    /// Result `(batch, channels, H, W)`.
    ///
    /// # Errors
    /// If the tensor cannot be made.
    pub fn finish(self, map: &Map) -> Result<Tensor> {
        let place = self.place(map)?;
        self.interpreter.finish(place)
    }
}
