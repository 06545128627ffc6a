//! A tape: a whole forward pass as one differentiable operator.
//!
//! candle's graph costs a zero-filled tensor, an addition and a kept output for every operator. A tape records a chain of fused
//! operators over channels-last buffers instead: a convolution keeps only its sums, the normalisation and activation behind it are
//! done whenever they are read, and the whole chain is one operator of candle's graph, from the images and the parameters to the
//! result. On other devices than the CPU each step is a composition of candle's operators; and a tape may write its steps down as
//! data, without computing.

mod avg_pool;
mod backward;
mod chain;
mod columns;
mod composed;
mod conv;
mod dense;
mod depthwise;
mod engine;
mod follow;
mod forward;
mod gate;
mod graph;
mod join;
mod layout;
mod max_pool;
mod merge;
mod packed;
mod plan;
mod product;
mod record;
mod response;
mod rows;
mod slab;
mod tokens;
mod transforms;
mod weight;
mod window;
mod windows;
mod winograd;

use super::avg_pool::AvgPool2dParams;
use super::geometry::Conv2dParams;
use super::norm::{Activation, BatchMoments, Norm};
use super::shared::tensor;
use candle_core::{DType, Device, Result, Tensor, bail};
use chain::Link;
use composed::Composed;
use engine::Engine;
use follow::Follow;
use graph::{channels_first, input, transpose};
pub use layout::Layout;
pub use record::{Record, Step};
use std::sync::Arc;
pub use weight::{ConvWeight, Kept, Weight};
pub use windows::WindowAttention;

/// A handle of one map of a [`Tape`]; its memory is let go of with the last handle, unless a backward pass needs it.
#[derive(Clone, Debug)]
pub struct Map {
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

/// What computes on the CPU.
enum Kernels {
    F32(Engine<f32>),
    F64(Engine<f64>),
}

enum Inner {
    Kernels(Kernels),
    Composed(Composed),
    Recorded(Record),
}

/// A convolution with batch normalisation and activation, as a step of [`Tape::inverted_residual`].
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

/// A forward pass being recorded.
pub struct Tape {
    inner: Inner,
    images: Tensor,
    stage: usize,
    /// The share of a batch in running statistics, if it is not each layer's own.
    pub momentum: Option<f64>,
}

/// `$body` with `$e` the engine, of whatever type.
macro_rules! engine {
    ($tape:expr, $e:ident => $body:expr) => {
        match &mut $tape.inner {
            Inner::Kernels(Kernels::F32($e)) => $body,
            Inner::Kernels(Kernels::F64($e)) => $body,
            Inner::Composed($e) => $body,
            Inner::Recorded($e) => $body,
        }
    };
}

impl Tape {
    /// Starts with some images.
    ///
    /// # Shapes
    /// `images` `(batch, channels, H, W)`.
    ///
    /// # Errors
    /// If `images` has another rank, or is on the CPU and its type is neither `f32` nor `f64`.
    pub fn new(images: &Tensor) -> Result<(Self, Map)> {
        let (batch, c, h, w) = images.dims4()?;
        if !images.device().is_cpu() {
            return Self::composed(images);
        }
        let dims = [batch, h, w, c];
        let (kernels, placed) = match images.dtype() {
            DType::F32 => {
                let mut engine = Engine::new();
                let placed = input(&mut engine, images, dims)?;
                (Kernels::F32(engine), placed)
            }
            DType::F64 => {
                let mut engine = Engine::new();
                let placed = input(&mut engine, images, dims)?;
                (Kernels::F64(engine), placed)
            }
            other => bail!("expected images of type f32 or f64, found {other:?}"),
        };
        Ok(Self::with(Inner::Kernels(kernels), images, placed, dims))
    }

    /// The same without own kernels, as on devices that hydranet has none for.
    ///
    /// # Errors
    /// If `images` has another rank.
    #[doc(hidden)]
    pub fn composed(images: &Tensor) -> Result<(Self, Map)> {
        let (batch, c, h, w) = images.dims4()?;
        let mut composed = Composed::new();
        let placed = composed.push(images.clone())?;
        let inner = Inner::Composed(composed);
        Ok(Self::with(inner, images, placed, [batch, h, w, c]))
    }

    /// The same without computing: steps are written down, for [`into_record`](Self::into_record).
    ///
    /// # Errors
    /// If the tensor cannot be made.
    pub fn recorded(channels: usize, (h, w): (usize, usize)) -> Result<(Self, Map)> {
        // Takes no memory.
        let images = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        let images = images.broadcast_as((1, channels, h, w))?;
        let dims = [1, h, w, channels];
        let inner = Inner::Recorded(Record::new(dims));
        Ok(Self::with(inner, &images, (0, Arc::new(())), dims))
    }

    /// The steps written down, and the place of `map` among them.
    ///
    /// # Errors
    /// If the tape computes.
    pub fn into_record(self, map: &Map) -> Result<(Record, usize)> {
        match self.inner {
            Inner::Recorded(record) => Ok((record, map.place)),
            _ => bail!("a tape that computes has not written its steps down"),
        }
    }

    fn with(
        inner: Inner,
        images: &Tensor,
        (place, token): (usize, Arc<()>),
        dims: [usize; 4],
    ) -> (Self, Map) {
        let tape = Self {
            inner,
            images: images.clone(),
            stage: 0,
            momentum: None,
        };
        let map = Map {
            place,
            dims,
            _token: token,
        };
        (tape, map)
    }

    /// Keeps what backward needs as bfloat16, half the bytes a value. The forward pass stays as it is, and so do the inputs of
    /// attention; gradients are off by about as much as the rounding, 2⁻⁹. Of no effect where candle's graph keeps the values.
    pub fn round_kept_values(&mut self) {
        match &mut self.inner {
            Inner::Kernels(Kernels::F32(e)) => e.packs = true,
            Inner::Kernels(Kernels::F64(e)) => e.packs = true,
            Inner::Composed(_) | Inner::Recorded(_) => {}
        }
    }

    /// Stages of the network that are done.
    pub fn stage(&self) -> usize {
        self.stage
    }

    /// Counts a stage.
    pub fn stage_done(&mut self) {
        self.stage += 1;
    }

    fn map(&mut self, (place, token): (usize, Arc<()>)) -> Map {
        let dims = engine!(self, e => {
            e.sweep();
            e.dims(place)
        });
        Map {
            place,
            dims,
            _token: token,
        }
    }

    /// Convolution, batch normalisation, activation. The second value holds the batch's moments with
    /// [`Statistics::Batch`](super::Statistics::Batch); it is empty with fixed ones.
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
        let follow = Follow::norm(norm, activation);
        let (place, token, moments) = engine!(self, e => e.conv(x.place, weight, params, &follow))?;
        Ok((self.map((place, token)), moments))
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
        let follow = Follow {
            bias: None,
            gamma: None,
            beta: bias,
            norm: None,
            activation,
        };
        self.convolve(x, weight, params, &follow)
    }

    /// (Convolution + bias) · gamma: a convolution whose output is scaled channel by channel ("layer scale", Touvron et al. 2021).
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
        let follow = Follow {
            bias: Some(bias),
            gamma: Some(gamma),
            beta: None,
            norm: None,
            activation: Activation::Identity,
        };
        self.convolve(x, weight, params, &follow)
    }

    /// An inverted residual (Sandler et al. 2018) in one pass, where nothing of it needs a gradient: expansion, if there is one,
    /// depthwise convolution, projection, and the input added if `shortcut`. `None` where it has to be done step by step; the
    /// values are the same.
    ///
    /// # Errors
    /// As [`conv_norm`](Self::conv_norm).
    pub fn inverted_residual(
        &mut self,
        x: &Map,
        steps: &[ConvStep],
        shortcut: bool,
    ) -> Result<Option<Map>> {
        let links: Vec<Link> = steps
            .iter()
            .map(|step| Link {
                weight: step.weight,
                params: step.params,
                follow: Follow::norm(&step.norm, step.activation),
            })
            .collect();
        let (expansion, last) = match links.as_slice() {
            [depthwise, projection] => (None, [depthwise, projection]),
            [expansion, depthwise, projection] => (Some(expansion), [depthwise, projection]),
            _ => return Ok(None),
        };
        let placed = engine!(self, e => e.chain(x.place, expansion, last, shortcut))?;
        Ok(placed.map(|placed| self.map(placed)))
    }

    fn convolve(
        &mut self,
        x: &Map,
        weight: &dyn ConvWeight,
        params: Conv2dParams,
        follow: &Follow,
    ) -> Result<Map> {
        let (place, token, _) = engine!(self, e => e.conv(x.place, weight, params, follow))?;
        Ok(self.map((place, token)))
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
        let placed = engine!(self, e => e.layer_norm(x.place, gamma, beta, eps))?;
        Ok(self.map(placed))
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
        let placed = engine!(self, e => e.global_response_norm(x.place, gamma, beta, eps))?;
        Ok(self.map(placed))
    }

    /// An activation.
    ///
    /// # Errors
    /// If the map was let go of.
    pub fn activation(&mut self, x: &Map, activation: Activation) -> Result<Map> {
        let placed = engine!(self, e => e.activation(x.place, activation))?;
        Ok(self.map(placed))
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
        let placed = engine!(self, e => e.attention(x.place, heads))?;
        Ok(self.map(placed))
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
        let placed = engine!(self, e => e.window_attention(x.place, attention))?;
        Ok(self.map(placed))
    }

    /// Four positions in a square become one, whose channels are those of the upper left, the lower left, the upper right and the
    /// lower right one (Liu et al. 2021). A map of odd height or width is continued by zeros.
    ///
    /// # Shapes
    /// The result is a map of ⌈H / 2⌉ × ⌈W / 2⌉ with 4 · channels.
    ///
    /// # Errors
    /// If the map is empty.
    pub fn merge(&mut self, x: &Map) -> Result<Map> {
        let placed = engine!(self, e => e.merge(x.place))?;
        Ok(self.map(placed))
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
        let placed = engine!(self, e => e.tokens(x.place, prefix, positions))?;
        Ok(self.map(placed))
    }

    /// One token of each image, as a map of 1 × 1.
    ///
    /// # Errors
    /// If there is no such token.
    pub fn token(&mut self, x: &Map, place: usize) -> Result<Map> {
        let placed = engine!(self, e => e.token(x.place, place))?;
        Ok(self.map(placed))
    }

    /// x + factor · y, with one factor an image (drop-path) or none.
    ///
    /// # Errors
    /// If shapes differ.
    pub fn add(&mut self, x: &Map, y: &Map, factors: Option<Vec<f32>>) -> Result<Map> {
        let placed = engine!(self, e => e.add(x.place, y.place, factors))?;
        Ok(self.map(placed))
    }

    /// The mean of each channel over all positions, as a map of 1 × 1.
    ///
    /// # Errors
    /// If there is no position.
    pub fn global_avg_pool(&mut self, x: &Map) -> Result<Map> {
        let placed = engine!(self, e => e.global_avg_pool(x.place))?;
        Ok(self.map(placed))
    }

    /// Each channel of each image times its own factor, as squeeze-and-excitation does (Hu et al. 2018). Without history the map's
    /// own memory is used if nobody else holds it.
    ///
    /// # Shapes
    /// `gate` is a map of 1 × 1 with as many images and channels as `x`.
    ///
    /// # Errors
    /// If shapes differ.
    pub fn scale_channels(&mut self, x: Map, gate: &Map) -> Result<Map> {
        // This handle and the tape's own.
        let last = Arc::strong_count(&x._token) == 2;
        let placed = engine!(self, e => e.scale_channels(x.place, gate.place, last))?;
        Ok(self.map(placed))
    }

    /// The mean of each window, as [`avg_pool2d`](super::avg_pool2d).
    ///
    /// # Errors
    /// If the settings do not fit the map.
    pub fn avg_pool(&mut self, x: &Map, params: AvgPool2dParams) -> Result<Map> {
        let placed = engine!(self, e => e.avg_pool(x.place, params))?;
        Ok(self.map(placed))
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
        let placed = engine!(self, e => e.max_pool(x.place, kernel, stride, padding))?;
        Ok(self.map(placed))
    }

    /// A map's values as they stand, without history.
    ///
    /// # Shapes
    /// Result `(batch, channels, H, W)`.
    ///
    /// # Errors
    /// If the tensor cannot be made.
    pub fn tensor(&mut self, map: &Map) -> Result<Tensor> {
        let [batch, h, w, c] = map.dims;
        let shape = [batch, c, h, w];
        match &mut self.inner {
            Inner::Kernels(Kernels::F32(e)) => tensor(channels_first(&e.slots[map.place]), &shape),
            Inner::Kernels(Kernels::F64(e)) => tensor(channels_first(&e.slots[map.place]), &shape),
            Inner::Composed(e) => Ok(e.get(map.place)?.detach()),
            Inner::Recorded(_) => no_values(),
        }
    }

    /// Ends the tape: the map as a tensor of candle's graph.
    ///
    /// # Shapes
    /// Result `(batch, channels, H, W)`.
    ///
    /// # Errors
    /// If the tensor cannot be made.
    pub fn finish(mut self, map: &Map) -> Result<Tensor> {
        let (tracked, parameters) = match &self.inner {
            Inner::Kernels(Kernels::F32(e)) => (e.slots[map.place].tracked, e.tracked()),
            Inner::Kernels(Kernels::F64(e)) => (e.slots[map.place].tracked, e.tracked()),
            Inner::Composed(e) => return e.get(map.place)?.contiguous(),
            Inner::Recorded(_) => return no_values(),
        };
        match self.inner {
            Inner::Kernels(kernels) if tracked => {
                graph::tied(kernels, map.place, &self.images, &parameters)
            }
            _ => self.tensor(map),
        }
    }
}

fn no_values<T>() -> Result<T> {
    bail!("a tape whose steps are written down has no values")
}
