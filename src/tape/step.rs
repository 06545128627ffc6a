//! What a tape can do: its steps as data, and the size of what each gives.
//!
//! A step is done by an [`Interpreter`]: the CPU's kernels, compositions of candle's operators, or a recorder that only writes it
//! down. A new step is a variant and its size here, a method of the tape, a node of the kernels' engine, and a composition.

use crate::epilogue::FusedConv;
use crate::norm::BatchMoments;
use crate::values::fits;
use crate::watch::Watch;
use candle_core::{Result, Tensor, bail};
use hydranet_kernels::activation::Activation;
use hydranet_kernels::pool::{AvgPool2dParams, Windows};
use hydranet_kernels::window_layout::WindowLayout;
use std::sync::Arc;

/// One step. Maps are called by their places: that of the images is 0, that of what step i gives is i + 1.
pub enum Step {
    /// A convolution, or a linear layer at every position, and what follows it.
    Conv {
        x: usize,
        conv: FusedConv,
    },
    LayerNorm(NormStep),
    ResponseNorm(NormStep),
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
        layout: WindowLayout,
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
    /// `count` tokens of each image from `place` on.
    Token {
        x: usize,
        place: usize,
        count: usize,
    },
    /// x + factor · y, with one factor an image or none.
    Add {
        x: usize,
        y: usize,
        factors: Option<Vec<f32>>,
    },
    GlobalAvgPool {
        x: usize,
    },
    ScaleChannels {
        x: usize,
        gate: usize,
    },
    /// A tensor (batch, H, W, channels) added.
    Offset {
        x: usize,
        offset: Tensor,
    },
    /// Maps behind each other in one row, each channel by channel.
    Row {
        maps: Vec<usize>,
    },
    AvgPool {
        x: usize,
        params: AvgPool2dParams,
    },
    MaxPool {
        x: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    },
}

/// A normalisation over the channels: what it is of, scale and shift of each channel, and what keeps it from dividing by 0.
pub struct NormStep {
    pub x: usize,
    pub gamma: Tensor,
    pub beta: Tensor,
    pub eps: f64,
}

/// The sizes of a max-pooling over a map.
pub(crate) fn max_windows(
    dims: [usize; 4],
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Result<Windows> {
    let square = |n| (n, n);
    fits(Windows::new(
        dims,
        square(kernel),
        square(stride),
        square(padding),
        false,
    ))
}

impl Step {
    /// (batch, H, W, channels) of what it gives; `of` has those of the maps so far. No map is empty: neither are the images, nor
    /// is what a step gives of a map that is not.
    pub(crate) fn dims(&self, of: &[[usize; 4]]) -> Result<[usize; 4]> {
        let lengths = |what: &str, norm: &NormStep| {
            let NormStep { x, gamma, beta, .. } = norm;
            let c = of[*x][3];
            if gamma.dims() != [c] || beta.dims() != [c] {
                bail!(
                    "{what}: {c} channels need as many values of gamma and beta, found {:?} and {:?}",
                    gamma.dims(),
                    beta.dims()
                )
            }
            Ok(of[*x])
        };
        match self {
            Self::Conv { x, conv } => {
                let g = conv.geometry(of[*x])?;
                Ok([g.batch, g.oh, g.ow, g.o])
            }
            Self::LayerNorm(norm) => lengths("layer norm", norm),
            Self::ResponseNorm(norm) => lengths("global response norm", norm),
            Self::Activation { x, .. } => Ok(of[*x]),
            Self::Attention { x, heads } => {
                let [batch, h, w, c] = of[*x];
                if *heads == 0 || c % (3 * heads) != 0 {
                    bail!(
                        "attention: {c} channels are not queries, keys and values of {heads} heads"
                    )
                }
                Ok([batch, h, w, c / 3])
            }
            Self::WindowAttention {
                x,
                layout,
                bias,
                filling,
            } => {
                let [batch, h, w, c] = of[*x];
                let (heads, distances) = (layout.heads, layout.num_distances());
                if bias.dims() != [distances, heads] || filling.dims() != [c] {
                    bail!(
                        "window attention: windows of {}, {heads} heads and {c} channels need biases ({distances}, {heads}) and a filling ({c}), found {:?} and {:?}",
                        layout.side,
                        bias.dims(),
                        filling.dims()
                    )
                }
                Ok([batch, h, w, c / 3])
            }
            Self::Merge { x } => {
                let [batch, h, w, c] = of[*x];
                Ok([batch, h.div_ceil(2), w.div_ceil(2), 4 * c])
            }
            Self::Tokens {
                x,
                prefix,
                positions,
            } => {
                let [batch, h, w, c] = of[*x];
                let p = prefix.dims().get(1).copied().unwrap_or(0);
                let n = p + h * w;
                let fits = positions.dims() == [1, n, c] || positions.dims() == [1, h * w, c];
                if prefix.dims() != [1, p, c] || !fits {
                    bail!(
                        "tokens: {h} × {w} patches of {c} channels need a prefix (1, p, {c}) and positions (1, p + {0}, {c}) or (1, {0}, {c}), found {1:?} and {2:?}",
                        h * w,
                        prefix.dims(),
                        positions.dims()
                    )
                }
                Ok([batch, 1, n, c])
            }
            Self::Token { x, place, count } => {
                let [batch, h, w, c] = of[*x];
                let fits = place.checked_add(*count).is_some_and(|end| end <= h * w);
                if *count == 0 || !fits {
                    bail!("{count} tokens from token {place} on of {}", h * w)
                }
                Ok([batch, 1, *count, c])
            }
            Self::Add { x, y, factors } => {
                if of[*x] != of[*y] {
                    bail!("sum of maps: shapes {:?} and {:?} differ", of[*x], of[*y])
                }
                match factors {
                    Some(factors) if factors.len() != of[*x][0] => bail!(
                        "sum of maps: {} factors are not one for each of {} images",
                        factors.len(),
                        of[*x][0]
                    ),
                    _ => Ok(of[*x]),
                }
            }
            Self::GlobalAvgPool { x } => {
                let [batch, _, _, c] = of[*x];
                Ok([batch, 1, 1, c])
            }
            Self::ScaleChannels { x, gate } => {
                let [batch, _, _, c] = of[*x];
                if of[*gate] != [batch, 1, 1, c] {
                    bail!(
                        "scaling of channels: a map of {:?} needs factors of {:?}, found {:?}",
                        of[*x],
                        [batch, 1, 1, c],
                        of[*gate]
                    )
                }
                Ok(of[*x])
            }
            Self::Offset { x, offset } => {
                let dims = of[*x];
                if offset.dims() != dims {
                    bail!(
                        "offset of a map: expected {dims:?}, found {:?}",
                        offset.dims()
                    )
                }
                Ok(dims)
            }
            Self::Row { maps } => {
                let Some(first) = maps.first() else {
                    bail!("a row of maps: expected at least one, found none")
                };
                let width = maps.iter().map(|x| of[*x][1..].iter().product::<usize>());
                Ok([of[*first][0], 1, 1, width.sum()])
            }
            Self::AvgPool { x, params } => Ok(fits(params.windows(of[*x]))?.out_dims()),
            Self::MaxPool {
                x,
                kernel,
                stride,
                padding,
            } => {
                // The place of a window's greatest value is kept as a byte.
                if *kernel > 15 {
                    bail!("max-pool: expected a kernel of at most 15, found {kernel}")
                }
                Ok(max_windows(of[*x], *kernel, *stride, *padding)?.out_dims())
            }
        }
    }
}

/// What a step gave: the token its handles hold, and the batch's moments where it is a normalisation by them.
#[derive(Default)]
pub(crate) struct Output {
    pub token: Arc<()>,
    pub moments: BatchMoments,
}

/// What does a tape's steps. The map of each step has the next place.
pub(crate) trait Interpreter: Send {
    /// Does a step whose map is of these dimensions.
    fn step(&mut self, step: Step, dims: [usize; 4]) -> Result<Output>;

    /// Does convolutions, one after the other, in one pass, and adds the input with a `shortcut`; `None` where they have to be
    /// done step by step.
    fn chain(
        &mut self,
        _x: usize,
        _convs: &[FusedConv],
        _shortcut: bool,
    ) -> Result<Option<([usize; 4], Output)>> {
        Ok(None)
    }

    /// Frees the maps that no handle can reach.
    fn sweep(&mut self) {}

    /// See [`Tape::round_kept_values`](crate::Tape::round_kept_values).
    fn round_kept_values(&mut self) {}

    /// See [`Tape::set_watch`](crate::Tape::set_watch).
    fn set_watch(&mut self, watch: &Arc<dyn Watch>) -> Result<()> {
        if watch.shares_statistics() {
            bail!(
                "statistics of batch normalisation are shared by passes on the CPU's kernels alone"
            )
        }
        Ok(())
    }

    /// A map's values `(batch, channels, H, W)` without history.
    fn tensor(&self, place: usize) -> Result<Tensor>;

    /// A map as a tensor of candle's graph that depends on the images and the parameters.
    fn finish(self: Box<Self>, place: usize) -> Result<Tensor>;

    /// The steps written down.
    fn into_record(self: Box<Self>) -> Result<Record> {
        bail!("a tape that computes has not written its steps down")
    }
}

/// A tape's steps as data: what a network does, without doing it, for whoever writes it down in another language.
pub struct Record {
    /// In order.
    pub steps: Vec<Step>,
    /// (batch, H, W, channels) by place.
    pub dims: Vec<[usize; 4]>,
}
