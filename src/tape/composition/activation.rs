//! Activations.

use candle_core::{Result, Tensor};
use hydranet_kernels::activation::Activation;

/// An activation.
pub(super) fn activation(x: &Tensor, activation: Activation) -> Result<Tensor> {
    // Chosen, not clamped or multiplied: the gradient on a kink is PyTorch's, and a NaN stays a NaN.
    let zeros = x.zeros_like()?;
    match activation {
        Activation::Identity => Ok(x.clone()),
        Activation::Relu => x.le(&zeros)?.where_cond(&zeros, x),
        Activation::Relu6 => {
            let y = x.le(&zeros)?.where_cond(&zeros, x)?;
            let six = (x.ones_like()? * 6.0)?;
            x.ge(&six)?.where_cond(&six, &y)
        }
        Activation::Sigmoid => sigmoid(x),
        Activation::HardSigmoid => {
            let three = (x.ones_like()? * 3.0)?;
            let y = ((x + 3.0)? / 6.0)?;
            let y = x.ge(&three)?.where_cond(&x.ones_like()?, &y)?;
            x.le(&three.neg()?)?.where_cond(&zeros, &y)
        }
        Activation::Silu => x.silu(),
        Activation::HardSwish => {
            let three = (x.ones_like()? * 3.0)?;
            let y = (x * ((x + 3.0)? / 6.0)?)?;
            let y = x.ge(&three)?.where_cond(x, &y)?;
            x.le(&three.neg()?)?.where_cond(&zeros, &y)
        }
        // Spelt out: the constants in candle's own backward have but seven digits.
        Activation::Gelu => {
            let erf = (x * std::f64::consts::FRAC_1_SQRT_2)?.erf()?;
            x * ((erf + 1.0)? * 0.5)?
        }
        Activation::GeluTanh => {
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
