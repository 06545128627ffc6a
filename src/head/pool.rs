//! How a head makes a vector of a map.

use crate::tape::linear;
use candle_core::{D, Result, Tensor};
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

/// How a head pools the maps it reads, each map x of N positions and C channels for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PoolKind {
    /// The mean over the positions. Without [`LayerSpec::from_stage`](crate::LayerSpec::from_stage) the head then reads the
    /// backbone's own features, as the network pools them: of a vision transformer, its class token.
    #[default]
    Average,
    /// Generalised mean (Radenović, Tolias, Chum 2018, "Fine-tuning CNN image retrieval with no human annotation"):
    /// (1/N · Σ max(x, 10⁻⁶)^p)^(1/p) of each channel, with one learnt p a map, at first 3. It counts as no less than 1, the
    /// mean, and no more than 100, nearly the greatest; beyond, it still has the gradient it would have at the bound.
    Gem,
    /// Attention of one learnt query q to the positions: Σᵢ aᵢ xᵢ with a = softmax(q · xᵢ / √C), scaled dot-product attention
    /// (Vaswani et al. 2017) in which keys and values are the positions themselves, as in the pooling by attention of the Set
    /// Transformer (Lee et al. 2019) with one seed, one head and no projections. At first q is 0, and that is the mean.
    Attention,
}

impl PoolKind {
    /// Whether it is the mean, which has nothing to learn.
    pub(crate) fn is_average(&self) -> bool {
        *self == Self::Average
    }
}

/// Values below it count as it in a generalised mean.
pub(crate) const LEAST_VALUE: f64 = 1e-6;
/// The first exponent of a generalised mean, and its bounds.
const FIRST_EXPONENT: f64 = 3.0;
const EXPONENTS: [f64; 2] = [1.0, 100.0];

/// The pooling of a head's maps.
#[derive(Clone, Debug)]
pub(crate) enum Pool {
    /// Of maps whose mean the backbone has made.
    Average,
    /// The exponents `(maps)`.
    Gem(Tensor),
    /// The queries `(1, Σ channels)`.
    Attention(Tensor),
}

impl Pool {
    /// Over `p` or `query` of `vb`, for maps of so many channels each.
    pub(crate) fn new(kind: PoolKind, channels: &[usize], vb: &VarBuilder) -> Result<Self> {
        Ok(match kind {
            PoolKind::Average => Self::Average,
            PoolKind::Gem => {
                let first = Init::Const(FIRST_EXPONENT);
                Self::Gem(vb.get_with_hints(channels.len(), "p", first)?)
            }
            PoolKind::Attention => {
                let shape = (1, channels.iter().sum());
                Self::Attention(vb.get_with_hints(shape, "query", Init::Const(0.0))?)
            }
        })
    }

    /// A map `(batch, channels, positions)`, the `place`-th of the head, whose channels begin at the query's `start`, as
    /// `(batch, channels)`.
    pub(crate) fn forward(&self, map: &Tensor, place: usize, start: usize) -> Result<Tensor> {
        match self {
            Self::Average => map.mean(D::Minus1),
            Self::Gem(exponents) => generalised_mean(map, &exponents.narrow(0, place, 1)?),
            Self::Attention(query) => {
                attention(map, &query.narrow(1, start, map.dim(1)?)?.contiguous()?)
            }
        }
    }

    /// Whether the maps come as their means.
    pub(crate) fn is_average(&self) -> bool {
        matches!(self, Self::Average)
    }

    /// The exponents as they count.
    pub(crate) fn exponents(exponents: &Tensor) -> Result<Tensor> {
        let [least, greatest] = EXPONENTS;
        exponents.clamp(least, greatest)
    }
}

/// (1/N · Σ max(x, 10⁻⁶)^p)^(1/p) over the last axis, by logarithms: no power is too great for `f32`.
fn generalised_mean(map: &Tensor, p: &Tensor) -> Result<Tensor> {
    // Bounded in value alone, so that an exponent can come back.
    let p = (p + (Pool::exponents(p)? - p)?.detach())?.reshape((1, 1, 1))?;
    let scaled = map.maximum(LEAST_VALUE)?.log()?.broadcast_mul(&p)?;
    // The result does not depend on it.
    let greatest = scaled.detach().max_keepdim(D::Minus1)?;
    let mean = scaled.broadcast_sub(&greatest)?.exp()?;
    let mean = (mean.mean_keepdim(D::Minus1)?.log()? + greatest)?;
    mean.broadcast_div(&p)?.exp()?.squeeze(D::Minus1)
}

/// Σᵢ softmax(q · xᵢ / √C)ᵢ · xᵢ over the last axis; `query` is `(1, C)`.
fn attention(map: &Tensor, query: &Tensor) -> Result<Tensor> {
    let (batch, channels, positions) = map.dims3()?;
    let rows = map.transpose(1, 2)?.contiguous()?;
    let scores = linear(&rows.reshape((batch * positions, channels))?, query, None)?;
    let scores = (scores.reshape((batch, 1, positions))? * (1.0 / (channels as f64).sqrt()))?;
    let greatest = scores.detach().max_keepdim(D::Minus1)?;
    let shares = scores.broadcast_sub(&greatest)?.exp()?;
    let shares = shares.broadcast_div(&shares.sum_keepdim(D::Minus1)?)?;
    map.broadcast_mul(&shares)?.sum(D::Minus1)
}
