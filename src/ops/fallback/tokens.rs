//! Operators on tokens: activations, layer normalisation, softmax, attention, linear layers.

use crate::Pointwise;
use candle_core::{D, Result, Tensor};

/// [`ops::pointwise`](crate::pointwise()).
///
/// # Shapes
/// `x` of any shape; the result has the same.
///
/// # Errors
/// If the type is not a floating-point one.
pub fn pointwise(x: &Tensor, function: Pointwise) -> Result<Tensor> {
    // Chosen, not clamped or multiplied: the gradient on a kink is PyTorch's, and a NaN stays a NaN.
    let zeros = x.zeros_like()?;
    match function {
        Pointwise::Relu => x.le(&zeros)?.where_cond(&zeros, x),
        Pointwise::Relu6 => {
            let y = x.le(&zeros)?.where_cond(&zeros, x)?;
            let six = (x.ones_like()? * 6.0)?;
            x.ge(&six)?.where_cond(&six, &y)
        }
        Pointwise::Sigmoid => sigmoid(x),
        Pointwise::HardSigmoid => {
            let three = (x.ones_like()? * 3.0)?;
            let y = ((x + 3.0)? / 6.0)?;
            let y = x.ge(&three)?.where_cond(&x.ones_like()?, &y)?;
            x.le(&three.neg()?)?.where_cond(&zeros, &y)
        }
        Pointwise::Silu => x.silu(),
        Pointwise::HardSwish => {
            let three = (x.ones_like()? * 3.0)?;
            let y = (x * ((x + 3.0)? / 6.0)?)?;
            let y = x.ge(&three)?.where_cond(x, &y)?;
            x.le(&three.neg()?)?.where_cond(&zeros, &y)
        }
        // Spelt out: the constants in candle's own backward have but seven digits.
        Pointwise::Gelu => {
            let erf = (x * std::f64::consts::FRAC_1_SQRT_2)?.erf()?;
            x * ((erf + 1.0)? * 0.5)?
        }
        Pointwise::GeluTanh => {
            let factor = (2.0 / std::f64::consts::PI).sqrt();
            let cubic = (x * (((x.sqr()? * 0.044715)? + 1.0)? * factor)?)?;
            x * ((cubic.tanh()? + 1.0)? * 0.5)?
        }
    }
}

/// 1 / (1 + e^(−x)) by way of tanh, which overflows nowhere.
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    ((x * 0.5)?.tanh()? + 1.0)? * 0.5
}

/// [`ops::layer_norm`](crate::layer_norm()).
///
/// # Shapes
/// `x` `(…, d)`, `gamma` and `beta` `(d)`; the result is shaped as `x`.
///
/// # Errors
/// If shapes do not fit.
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    let last = x.rank().saturating_sub(1);
    normalise(x, last, eps)?
        .broadcast_mul(gamma)?
        .broadcast_add(beta)
}

/// [`ops::layer_norm_2d`](crate::layer_norm_2d).
///
/// # Shapes
/// `x` `(batch, C, H, W)`, `gamma` and `beta` `(C)`; the result is shaped as `x`.
///
/// # Errors
/// If shapes do not fit.
pub fn layer_norm_2d(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    let shape = (1, gamma.elem_count(), 1, 1);
    normalise(x, 1, eps)?
        .broadcast_mul(&gamma.reshape(shape)?)?
        .broadcast_add(&beta.reshape(shape)?)
}

/// (x − mean) / √(variance + eps) along one axis.
fn normalise(x: &Tensor, axis: usize, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(axis)?)?;
    let variance = centred.sqr()?.mean_keepdim(axis)?;
    centred.broadcast_div(&(variance + eps)?.sqrt()?)
}

/// [`ops::softmax`](crate::softmax()).
///
/// # Shapes
/// `x` `(…, n)`; the result has the same shape.
///
/// # Errors
/// If `x` has no axis or the last one is empty.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    let exp = x.broadcast_sub(&greatest(x)?)?.exp()?;
    exp.broadcast_div(&exp.sum_keepdim(D::Minus1)?)
}

/// [`ops::log_softmax`](crate::log_softmax).
///
/// # Shapes
/// `x` `(…, n)`; the result has the same shape.
///
/// # Errors
/// As [`softmax`].
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    let x = x.broadcast_sub(&greatest(x)?)?;
    x.broadcast_sub(&x.exp()?.sum_keepdim(D::Minus1)?.log()?)
}

/// The greatest value of each row, a constant to the gradient: softmax does not depend on it.
fn greatest(x: &Tensor) -> Result<Tensor> {
    x.detach().max_keepdim(D::Minus1)
}

/// [`ops::attention`](crate::attention()).
///
/// # Shapes
/// `q`, `k`, `v` `(batch, heads, tokens, dim)`; the result has the same shape.
///
/// # Errors
/// If shapes do not fit.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64) -> Result<Tensor> {
    let (q, k, v) = (q.contiguous()?, k.t()?.contiguous()?, v.contiguous()?);
    softmax(&(q.matmul(&k)? * scale)?)?.matmul(&v)
}

/// [`ops::attention_qkv`](crate::attention_qkv).
///
/// # Shapes
/// `qkv` `(batch, tokens, 3 · heads · dim)`; result `(batch, tokens, heads · dim)`.
///
/// # Errors
/// If shapes do not fit.
pub fn attention_qkv(qkv: &Tensor, heads: usize, scale: f64) -> Result<Tensor> {
    let (batch, tokens, width) = qkv.dims3()?;
    let dim = width / 3 / heads.max(1);
    let parts = qkv
        .reshape((batch, tokens, 3, heads, dim))?
        .permute((2, 0, 3, 1, 4))?;
    let part = |i: usize| parts.get(i);
    attention(&part(0)?, &part(1)?, &part(2)?, scale)?
        .transpose(1, 2)?
        .reshape((batch, tokens, heads * dim))
}

/// [`ops::linear`](crate::linear()).
///
/// # Shapes
/// `x` `(…, in)`, `weight` `(out, in)`, `bias` `(out)`; result `(…, out)`.
///
/// # Errors
/// If shapes do not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (outputs, inputs) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = outputs;
    }
    let rows = x.elem_count() / inputs.max(1);
    let y = x.reshape((rows, inputs))?.matmul(&weight.t()?)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    y.reshape(shape)
}
