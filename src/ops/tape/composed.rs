//! A tape's steps as compositions of candle's operators, for devices that hydranet has no kernels for.
//!
//! A map is a tensor `(batch, channels, H, W)` of candle's graph, which keeps what backward needs. The methods are those of the
//! [`Engine`](super::engine::Engine); what is computed is in [`fallback`](crate::fallback).

use super::chain::Link;
use super::follow::Follow;
use super::layout::Layout;
use super::weight::ConvWeight;
use super::windows::WindowAttention;
use crate::avg_pool::AvgPool2dParams;
use crate::fallback;
use crate::geometry::Conv2dParams;
use crate::max_pool::MaxPool2dParams;
use crate::norm::{Activation, BatchMoments, Norm};
use candle_core::{D, Device, Result, Tensor, bail};
use std::sync::{Arc, Weak};

/// Maps by place.
pub(super) struct Composed {
    maps: Vec<Held>,
}

/// A map, there for as long as somebody has its token.
struct Held {
    map: Option<Tensor>,
    dims: [usize; 4],
    token: Weak<()>,
}

type Placed = (usize, Arc<()>);

impl Composed {
    pub(super) fn new() -> Self {
        Self { maps: Vec::new() }
    }

    /// Adds a map; gives its place and the token its handle holds.
    pub(super) fn push(&mut self, map: Tensor) -> Result<Placed> {
        let (batch, c, h, w) = map.dims4()?;
        let token = Arc::new(());
        self.maps.push(Held {
            map: Some(map),
            dims: [batch, h, w, c],
            token: Arc::downgrade(&token),
        });
        Ok((self.maps.len() - 1, token))
    }

    /// Lets go of maps that nobody holds.
    pub(super) fn sweep(&mut self) {
        for held in &mut self.maps {
            if held.token.strong_count() == 0 {
                held.map = None;
            }
        }
    }

    pub(super) fn get(&self, place: usize) -> Result<&Tensor> {
        match &self.maps[place].map {
            Some(map) => Ok(map),
            None => bail!("a map of this tape was let go of before it was read"),
        }
    }

    /// (batch, H, W, channels).
    pub(super) fn dims(&self, place: usize) -> [usize; 4] {
        self.maps[place].dims
    }

    pub(super) fn conv(
        &mut self,
        x: usize,
        weight: &dyn ConvWeight,
        params: Conv2dParams,
        follow: &Follow,
    ) -> Result<(usize, Arc<()>, BatchMoments)> {
        let x = self.get(x)?;
        let weight = match weight.tensor().dims() {
            [o, c] => weight.tensor().reshape((*o, *c, 1, 1))?,
            _ => weight.tensor().clone(),
        };
        let (y, moments) = match (follow.norm, follow.gamma, follow.beta) {
            (Some((statistics, eps)), Some(gamma), Some(beta)) => {
                let statistics = statistics.clone();
                let norm = Norm {
                    gamma,
                    beta,
                    eps,
                    statistics,
                };
                fallback::conv2d_norm_act(x, &weight, params, &norm, follow.activation)?
            }
            _ => {
                let mut y =
                    fallback::conv2d(x, &weight, follow.bias, params, Activation::Identity)?;
                if let Some(gamma) = follow.gamma {
                    y = y.broadcast_mul(&fallback::per_channel(gamma, &y)?)?;
                }
                if let Some(beta) = follow.beta {
                    y = y.broadcast_add(&fallback::per_channel(beta, &y)?)?;
                }
                let y = fallback::activate(&y, follow.activation)?;
                (y, BatchMoments::default())
            }
        };
        let (place, token) = self.push(y)?;
        Ok((place, token, moments))
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
        let y = fallback::layer_norm_2d(self.get(x)?, gamma, beta, eps)?;
        self.push(y)
    }

    pub(super) fn global_response_norm(
        &mut self,
        x: usize,
        gamma: &Tensor,
        beta: &Tensor,
        eps: f64,
    ) -> Result<Placed> {
        let x = self.get(x)?;
        let (gamma, beta) = (
            fallback::per_channel(gamma, x)?,
            fallback::per_channel(beta, x)?,
        );
        // Kept off 0, where a root has no derivative: a channel of zeros has gradient 0, as in PyTorch.
        let squares = x.sqr()?.sum_keepdim((2, 3))?;
        let norms = squares.maximum(f64::from(f32::MIN_POSITIVE))?.sqrt()?;
        let mean = (norms.mean_keepdim(1)? + eps)?;
        let factors = (norms.broadcast_div(&mean)?.broadcast_mul(&gamma)? + 1.0)?;
        let y = x.broadcast_mul(&factors)?.broadcast_add(&beta)?;
        self.push(y)
    }

    pub(super) fn activation(&mut self, x: usize, activation: Activation) -> Result<Placed> {
        let y = fallback::activate(self.get(x)?, activation)?;
        self.push(y)
    }

    pub(super) fn attention(&mut self, x: usize, heads: usize) -> Result<Placed> {
        let x = self.get(x)?;
        let (_, c, h, w) = x.dims4()?;
        if heads == 0 || c % (3 * heads) != 0 || c * h * w == 0 {
            bail!("attention: {c} channels are not queries, keys and values of {heads} heads")
        }
        let scale = 1.0 / ((c / 3 / heads) as f64).sqrt();
        let y = fallback::attention_qkv(&rows(x)?, heads, scale)?;
        let y = planes(&y, (h, w))?;
        self.push(y)
    }

    pub(super) fn window_attention(
        &mut self,
        x: usize,
        attention: &WindowAttention,
    ) -> Result<Placed> {
        let layout = Layout::new(self.dims(x), attention)?;
        let x = self.get(x)?;
        let (batch, c, h, w) = x.dims4()?;
        let (windows, n) = (layout.windows(), layout.tokens());
        let (heads, dim) = (layout.heads, layout.dim);
        let index = |places: Vec<u32>| {
            let count = places.len();
            Tensor::from_vec(places, count, x.device())
        };
        let mut positions = rows(x)?;
        if layout.is_filled() {
            let filling = attention.filling.reshape((1, 1, c))?;
            let filling = filling.broadcast_as((batch, 1, c))?;
            positions = Tensor::cat(&[&positions, &filling.contiguous()?], 1)?;
        }
        let parts = positions
            .index_select(&index(layout.taken())?, 1)?
            .reshape((batch * windows, n, 3, heads, dim))?
            .permute((2, 0, 3, 1, 4))?;
        let part = |i: usize| parts.get(i)?.contiguous();
        let (q, k, v) = (part(0)?, part(1)?.t()?.contiguous()?, part(2)?);
        let scores = (q.matmul(&k)? * (1.0 / (dim as f64).sqrt()))?;
        let mut bias = attention
            .bias
            .index_select(&index(layout.distances())?, 0)?
            .t()?
            .reshape((1, heads, n, n))?;
        if let Some(unseen) = layout.unseen() {
            // Converted on the CPU: not every device has f64.
            let unseen = Tensor::from_vec(unseen, (windows, 1, n, n), &Device::Cpu)?
                .to_dtype(x.dtype())?
                .to_device(x.device())?;
            bias = bias.broadcast_add(&unseen)?;
        }
        let kinds = bias.dim(0)?;
        let scores = scores
            .reshape((batch * windows / kinds, kinds, heads, n, n))?
            .broadcast_add(&bias)?
            .reshape((batch * windows, heads, n, n))?;
        let y = fallback::softmax(&scores)?
            .matmul(&v)?
            .transpose(1, 2)?
            .reshape((batch, windows * n, heads * dim))?
            .index_select(&index(layout.returned())?, 1)?;
        let y = planes(&y, (h, w))?;
        self.push(y)
    }

    pub(super) fn merge(&mut self, x: usize) -> Result<Placed> {
        let x = self.get(x)?;
        let (batch, c, h, w) = x.dims4()?;
        if c * h * w == 0 {
            bail!(
                "merging of squares: expected a map that is not empty, found {h} × {w} of {c} channels"
            )
        }
        let (rows, cols) = (h.div_ceil(2), w.div_ceil(2));
        let y = x
            .pad_with_zeros(2, 0, 2 * rows - h)?
            .pad_with_zeros(3, 0, 2 * cols - w)?
            .reshape(vec![batch, c, rows, 2, cols, 2])?
            .permute(vec![0, 5, 3, 1, 2, 4])?
            .reshape((batch, 4 * c, rows, cols))?;
        self.push(y)
    }

    pub(super) fn tokens(
        &mut self,
        x: usize,
        prefix: &Tensor,
        positions: &Tensor,
    ) -> Result<Placed> {
        let patches = rows(self.get(x)?)?;
        let (batch, patch_count, c) = patches.dims3()?;
        let (_, p, _) = prefix.dims3()?;
        let prefix = prefix.broadcast_as((batch, p, c))?.contiguous()?;
        let y = if positions.dims() == [1, p + patch_count, c] {
            Tensor::cat(&[&prefix, &patches], 1)?.broadcast_add(positions)?
        } else {
            Tensor::cat(&[&prefix, &patches.broadcast_add(positions)?], 1)?
        };
        let y = planes(&y, (1, p + patch_count))?;
        self.push(y)
    }

    pub(super) fn token(&mut self, x: usize, place: usize) -> Result<Placed> {
        let y = self.get(x)?.flatten_from(2)?.narrow(2, place, 1)?;
        let y = y.unsqueeze(D::Minus1)?.contiguous()?;
        self.push(y)
    }

    pub(super) fn add(&mut self, x: usize, y: usize, factors: Option<Vec<f32>>) -> Result<Placed> {
        let (x, y) = (self.get(x)?, self.get(y)?);
        let sum = match factors {
            Some(factors) => x + fallback::scale(y, factors)?,
            None => x + y,
        }?;
        self.push(sum)
    }

    pub(super) fn global_avg_pool(&mut self, x: usize) -> Result<Placed> {
        let y = fallback::global_avg_pool(self.get(x)?)?;
        let (batch, c) = y.dims2()?;
        let y = y.reshape((batch, c, 1, 1))?;
        self.push(y)
    }

    pub(super) fn scale_channels(&mut self, x: usize, gate: usize, _last: bool) -> Result<Placed> {
        let (x, gate) = (self.get(x)?, self.get(gate)?);
        if gate.dims() != [x.dim(0)?, x.dim(1)?, 1, 1] {
            bail!(
                "scale of channels: a map {:?} needs one factor for each image and channel, found {:?}",
                x.dims(),
                gate.dims()
            )
        }
        let y = x.broadcast_mul(gate)?;
        self.push(y)
    }

    pub(super) fn avg_pool(&mut self, x: usize, params: AvgPool2dParams) -> Result<Placed> {
        let y = fallback::avg_pool2d(self.get(x)?, params)?;
        self.push(y)
    }

    pub(super) fn max_pool(
        &mut self,
        x: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Result<Placed> {
        let params = MaxPool2dParams {
            padding: (padding, padding),
            ..MaxPool2dParams::new(kernel, stride)
        };
        let y = fallback::max_pool2d(self.get(x)?, params)?;
        self.push(y)
    }
}

/// A map `(batch, channels, H, W)` as `(batch, H · W, channels)`.
fn rows(x: &Tensor) -> Result<Tensor> {
    x.flatten_from(2)?.transpose(1, 2)?.contiguous()
}

/// The reverse of [`rows`].
fn planes(x: &Tensor, (h, w): (usize, usize)) -> Result<Tensor> {
    let (batch, _, c) = x.dims3()?;
    x.transpose(1, 2)?.reshape((batch, c, h, w))
}
