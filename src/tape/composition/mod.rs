//! A tape's steps as compositions of candle's operators, for devices that hydranet has no kernels for.
//!
//! A map is a tensor `(batch, channels, H, W)` of candle's graph, which keeps what backward needs. Only operators of candle whose
//! gradients are right are used: none of its convolutions, poolings or upsamplings. Everything that moves a window over planes
//! reads shifted slices of them; what it does with the values found is a matrix product, a sum, or a choice. The compositions
//! work on every device; the CPU's tests compare them with the kernels.

mod activation;
mod columns;
mod conv;
mod convolve;
mod depthwise;
mod pool;
mod slices;
mod tokens;

use crate::scale::scale;
use crate::step::{Interpreter, Output, Step, max_windows};
use crate::values::fits;
use candle_core::{Result, Tensor, bail};
use std::sync::{Arc, Weak};

/// Maps by place, each there for as long as somebody has its token.
#[derive(Default)]
pub(crate) struct Composition {
    maps: Vec<(Option<Tensor>, Weak<()>)>,
}

impl Composition {
    /// Adds a map; gives the token its handle holds.
    pub(crate) fn push(&mut self, map: Tensor) -> Arc<()> {
        let token = Arc::default();
        self.maps.push((Some(map), Arc::downgrade(&token)));
        token
    }

    fn get(&self, place: usize) -> Result<&Tensor> {
        match &self.maps[place].0 {
            Some(map) => Ok(map),
            None => bail!("a map of this tape was freed before it was read"),
        }
    }
}

/// (batch, H, W, channels) of a map.
fn dims(map: &Tensor) -> Result<[usize; 4]> {
    let (batch, c, h, w) = map.dims4()?;
    Ok([batch, h, w, c])
}

impl Interpreter for Composition {
    fn step(&mut self, step: Step, _dims: [usize; 4]) -> Result<Output> {
        let get = |place: usize| self.get(place);
        let y = match step {
            Step::Conv { x, conv } => {
                let (y, moments) = conv::conv(get(x)?, &conv)?;
                let token = self.push(y);
                return Ok(Output { token, moments });
            }
            Step::LayerNorm(norm) => tokens::layer_norm(get(norm.x)?, &norm),
            Step::ResponseNorm(norm) => tokens::response_norm(get(norm.x)?, &norm),
            Step::Activation { x, activation } => activation::activation(get(x)?, activation),
            Step::Attention { x, heads } => tokens::attention(get(x)?, heads),
            Step::WindowAttention {
                x,
                layout,
                bias,
                filling,
            } => tokens::window_attention(get(x)?, &layout, &bias, &filling),
            Step::Merge { x } => tokens::merge(get(x)?),
            Step::Tokens {
                x,
                prefix,
                positions,
            } => tokens::tokens(get(x)?, &prefix, &positions),
            Step::Token { x, place, count } => tokens::some(get(x)?, place, count),
            Step::Add { x, y, factors } => match factors {
                Some(factors) => get(x)? + scale(get(y)?, factors)?,
                None => get(x)? + get(y)?,
            },
            Step::GlobalAvgPool { x } => get(x)?.mean_keepdim((2, 3)),
            Step::ScaleChannels { x, gate } => get(x)?.broadcast_mul(get(gate)?),
            Step::Offset { x, offset } => get(x)? + offset.permute((0, 3, 1, 2))?,
            Step::Row { maps } => {
                let planes = maps.iter().map(|x| get(*x)?.flatten_from(1));
                let planes = planes.collect::<Result<Vec<_>>>()?;
                Tensor::cat(&planes, 1)?.unsqueeze(2)?.unsqueeze(3)
            }
            Step::AvgPool { x, params } => {
                let x = get(x)?;
                pool::avg_pool(x, &params, &fits(params.windows(dims(x)?))?)
            }
            Step::MaxPool {
                x,
                kernel,
                stride,
                padding,
            } => {
                let x = get(x)?;
                pool::max_pool(x, &max_windows(dims(x)?, kernel, stride, padding)?)
            }
        }?;
        Ok(Output {
            token: self.push(y),
            ..Output::default()
        })
    }

    fn sweep(&mut self) {
        for (map, token) in &mut self.maps {
            if token.strong_count() == 0 {
                *map = None;
            }
        }
    }

    fn tensor(&self, place: usize) -> Result<Tensor> {
        Ok(self.get(place)?.detach())
    }

    fn finish(self: Box<Self>, place: usize) -> Result<Tensor> {
        self.get(place)?.contiguous()
    }
}
