//! Single steps of a tape over candle's tensors, by the CPU's kernels or by the compositions that stand in for them on other
//! devices.

use candle_core::{Result, Tensor};
use hydranet::tape::{Activation, AvgPool2dParams, BatchMoments, Conv2dParams, Map, Norm, Tape};

/// How a tape starts.
pub type Start = fn(&Tensor) -> Result<(Tape, Map)>;

/// The kernels, and the compositions.
pub const STARTS: [(&str, Start); 2] = [("kernel", Tape::new), ("composition", Tape::composed)];

/// A tape from `x` to its result.
pub fn run(
    start: Start,
    x: &Tensor,
    f: impl FnOnce(&mut Tape, Map) -> Result<Map>,
) -> Result<Tensor> {
    let (mut tape, x) = start(x)?;
    let y = f(&mut tape, x)?;
    tape.finish(&y)
}

/// The same over the rows of a tensor `(…, d)`.
fn over_rows(
    start: Start,
    x: &Tensor,
    f: impl FnOnce(&mut Tape, Map) -> Result<Map>,
) -> Result<Tensor> {
    let d = x.dim(candle_core::D::Minus1)?;
    let y = run(start, &x.reshape((x.elem_count() / d, d, 1, 1))?, f)?;
    let mut shape = x.dims().to_vec();
    shape.pop();
    shape.push(y.dim(1)?);
    y.reshape(shape)
}

pub fn conv2d(
    start: Start,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: Conv2dParams,
    activation: Activation,
) -> Result<Tensor> {
    run(start, x, |tape, x| {
        tape.conv(&x, weight, bias, params, activation)
    })
}

pub fn conv2d_norm_act(
    start: Start,
    x: &Tensor,
    weight: &Tensor,
    params: Conv2dParams,
    norm: &Norm,
    activation: Activation,
) -> Result<(Tensor, BatchMoments)> {
    let (mut tape, x) = start(x)?;
    let (y, moments) = tape.conv_norm(&x, weight, params, norm, activation)?;
    Ok((tape.finish(&y)?, moments))
}

pub fn activation(start: Start, x: &Tensor, activation: Activation) -> Result<Tensor> {
    over_rows(start, x, |tape, x| tape.activation(&x, activation))
}

pub fn linear(
    start: Start,
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation,
) -> Result<Tensor> {
    over_rows(start, x, |tape, x| {
        tape.linear(&x, weight, bias, activation)
    })
}

pub fn layer_norm(
    start: Start,
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    over_rows(start, x, |tape, x| tape.layer_norm(&x, gamma, beta, eps))
}

/// Over the channels of each position.
pub fn layer_norm_2d(
    start: Start,
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    run(start, x, |tape, x| tape.layer_norm(&x, gamma, beta, eps))
}

/// Attention by queries, keys and values `(batch, tokens, 3 · heads · dim)`, with any scale: queries are multiplied by what it is
/// more than 1 / √dim.
pub fn attention_qkv(start: Start, qkv: &Tensor, heads: usize, scale: f64) -> Result<Tensor> {
    let (batch, tokens, width) = qkv.dims3()?;
    let more = scale * ((width / 3 / heads.max(1)) as f64).sqrt();
    let more = Tensor::new(&[more, 1.0, 1.0], qkv.device())?.to_dtype(qkv.dtype())?;
    let y = qkv
        .reshape((batch, tokens, 3, width / 3))?
        .broadcast_mul(&more.reshape((3, 1))?)?
        .reshape((batch, tokens, width))?
        .transpose(1, 2)?
        .unsqueeze(2)?;
    let y = run(start, &y, |tape, x| tape.attention(&x, heads))?;
    y.squeeze(2)?.transpose(1, 2)
}

/// The same by queries, keys and values `(batch, heads, tokens, dim)`.
pub fn attention(start: Start, [q, k, v]: [&Tensor; 3], scale: f64) -> Result<Tensor> {
    let (batch, heads, tokens, dim) = q.dims4()?;
    let rows = |t: &Tensor| t.transpose(1, 2)?.reshape((batch, tokens, heads * dim));
    let qkv = Tensor::cat(&[rows(q)?, rows(k)?, rows(v)?], 2)?;
    let y = attention_qkv(start, &qkv, heads, scale)?;
    y.reshape((batch, tokens, heads, dim))?.transpose(1, 2)
}

pub fn global_avg_pool(start: Start, x: &Tensor) -> Result<Tensor> {
    run(start, x, |tape, x| tape.global_avg_pool(&x))?.flatten_from(1)
}

pub fn avg_pool2d(start: Start, x: &Tensor, params: AvgPool2dParams) -> Result<Tensor> {
    run(start, x, |tape, x| tape.avg_pool(&x, params))
}

/// Kernel, stride and padding.
pub fn max_pool2d(
    start: Start,
    x: &Tensor,
    [kernel, stride, padding]: [usize; 3],
) -> Result<Tensor> {
    run(start, x, |tape, x| {
        tape.max_pool(&x, kernel, stride, padding)
    })
}
