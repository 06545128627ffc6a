//! Activations value by value, each with its own derivative.

use super::fallback;
use super::shared::{build, tensor, typed, typed_storage, values, with_values};
use super::simd::{Real, kernel};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use std::mem::MaybeUninit;

/// A function of one value. (An [`Activation`](super::Activation) is an interval, clamped to within a convolution.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pointwise {
    /// max(v, 0); gradient 0 at 0, as in PyTorch.
    Relu,
    /// min(max(v, 0), 6); gradient 0 at 0 and at 6, as in PyTorch.
    Relu6,
    /// 1 / (1 + e^(−v)).
    Sigmoid,
    /// min(max(v + 3, 0), 6) / 6 (Howard et al. 2019); gradient 0 at −3 and at 3, as in PyTorch.
    HardSigmoid,
    /// v · sigmoid(v) (Elfwing, Uchibe, Doya 2018).
    Silu,
    /// v · min(max(v + 3, 0), 6) / 6 (Howard et al. 2019); gradient 0 at −3 and 1 at 3, as in PyTorch.
    HardSwish,
    /// v · Φ(v), Φ being the normal distribution (Hendrycks and Gimpel 2016).
    Gelu,
    /// The same paper's approximation, v/2 · (1 + tanh(√(2/π) · (v + 0.044715 v³))).
    GeluTanh,
}

impl Pointwise {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Relu,
        Self::Relu6,
        Self::Sigmoid,
        Self::HardSigmoid,
        Self::Silu,
        Self::HardSwish,
        Self::Gelu,
        Self::GeluTanh,
    ];
}

/// An activation of every value. A NaN stays a NaN. Backward keeps nothing but the argument.
///
/// # Shapes
/// `x` of any shape; the result has the same.
///
/// # Errors
/// If the type is not a floating-point one (on the CPU: neither `f32` nor `f64`).
pub fn pointwise(x: &Tensor, function: Pointwise) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::pointwise(x, function);
    }
    x.contiguous()?.apply_op1(function)
}

/// Values a task computes; fixed, so that results do not depend on the number of threads.
const PIECE: usize = 1 << 14;

/// √(2/π) and the factor of the cube in [`Pointwise::GeluTanh`].
const GELU_TANH: (f64, f64) = (0.797_884_560_802_865_4, 0.044_715);

/// max(v, low), a NaN staying one.
#[inline(always)]
fn at_least<T: Real>(v: T, low: T) -> T {
    if v < low { low } else { v }
}

/// min(v, high), a NaN staying one.
#[inline(always)]
fn at_most<T: Real>(v: T, high: T) -> T {
    if v > high { high } else { v }
}

#[inline(always)]
fn sigmoid<T: Real, const FMA: bool>(v: T) -> T {
    T::ONE / (T::ONE + (-v).exp::<FMA>())
}

/// (Φ(v), e^(−v²/2)).
#[inline(always)]
fn normal<T: Real, const FMA: bool>(v: T) -> (T, T) {
    let half = T::from_f64(0.5);
    let (erf, gauss) = (v * T::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf_gauss::<FMA>();
    (half.madd::<FMA>(erf, half), gauss)
}

/// tanh(√(2/π) · (v + 0.044715 v³)).
#[inline(always)]
fn gelu_tanh<T: Real, const FMA: bool>(v: T) -> T {
    let (factor, cube) = (T::from_f64(GELU_TANH.0), T::from_f64(GELU_TANH.1));
    (factor * (cube * v * v).madd::<FMA>(v, v)).tanh::<FMA>()
}

#[inline(always)]
fn map<T: Real>(x: &[T], out: &mut [MaybeUninit<T>], f: impl Fn(T) -> T) {
    for (o, x) in out.iter_mut().zip(x) {
        o.write(f(*x));
    }
}

kernel! {
    /// out = f(x), writing every value of `out`, which is as long as `x`.
    fn forward<T>(function: Pointwise, x: &[T], out: &mut [MaybeUninit<T>]) {
        assert_eq!(x.len(), out.len());
        let (half, three, six) = (T::from_f64(0.5), T::from_f64(3.0), T::from_f64(6.0));
        match function {
            Pointwise::Relu => map(x, out, |v| at_least(v, T::ZERO)),
            Pointwise::Relu6 => map(x, out, |v| at_most(at_least(v, T::ZERO), six)),
            Pointwise::Sigmoid => map(x, out, sigmoid::<T, FMA>),
            Pointwise::HardSigmoid => {
                map(x, out, |v| at_most(at_least(v + three, T::ZERO), six) / six)
            }
            Pointwise::Silu => map(x, out, |v| v / (T::ONE + (-v).exp::<FMA>())),
            Pointwise::HardSwish => {
                map(x, out, |v| v * at_most(at_least(v + three, T::ZERO), six) / six)
            }
            Pointwise::Gelu => map(x, out, |v| v * normal::<T, FMA>(v).0),
            Pointwise::GeluTanh => {
                map(x, out, |v| (half * v).madd::<FMA>(gelu_tanh::<T, FMA>(v), half * v))
            }
        }
    }
}

#[inline(always)]
fn slope<T: Real>(x: &[T], dy: &[T], out: &mut [MaybeUninit<T>], f: impl Fn(T) -> T) {
    for ((o, x), dy) in out.iter_mut().zip(x).zip(dy) {
        o.write(*dy * f(*x));
    }
}

/// The incoming gradient where `zero` is false, whatever the incoming one is.
#[inline(always)]
fn pass<T: Real>(x: &[T], dy: &[T], out: &mut [MaybeUninit<T>], zero: impl Fn(T) -> bool) {
    for ((o, x), dy) in out.iter_mut().zip(x).zip(dy) {
        o.write(if zero(*x) { T::ZERO } else { *dy });
    }
}

kernel! {
    /// out = f′(x) · dy, writing every value of `out`, which is as long as `x` and `dy`.
    fn backward<T>(function: Pointwise, x: &[T], dy: &[T], out: &mut [MaybeUninit<T>]) {
        assert!(x.len() == out.len() && dy.len() == out.len());
        let (half, three, six) = (T::from_f64(0.5), T::from_f64(3.0), T::from_f64(6.0));
        match function {
            Pointwise::Relu => pass(x, dy, out, |v| v <= T::ZERO),
            Pointwise::Relu6 => pass(x, dy, out, |v| v <= T::ZERO || v >= six),
            Pointwise::Sigmoid => slope(x, dy, out, |v| {
                let s = sigmoid::<T, FMA>(v);
                s * (T::ONE - s)
            }),
            Pointwise::HardSigmoid => slope(x, dy, out, |v| {
                let d = if v <= -three { T::ZERO } else { T::ONE / six };
                if v >= three { T::ZERO } else { d }
            }),
            Pointwise::Silu => slope(x, dy, out, |v| {
                let s = sigmoid::<T, FMA>(v);
                (v * s).madd::<FMA>(T::ONE - s, s)
            }),
            Pointwise::HardSwish => slope(x, dy, out, |v| {
                let d = v.madd::<FMA>(T::ONE / three, half);
                let d = if v >= three { T::ONE } else { d };
                if v <= -three { T::ZERO } else { d }
            }),
            Pointwise::Gelu => slope(x, dy, out, |v| {
                let (distribution, gauss) = normal::<T, FMA>(v);
                // 1/√(2π), the factor of the density.
                let density = gauss * T::from_f64(0.398_942_280_401_432_7);
                v.madd::<FMA>(density, distribution)
            }),
            Pointwise::GeluTanh => slope(x, dy, out, |v| {
                let (factor, cube) = GELU_TANH;
                let tanh = gelu_tanh::<T, FMA>(v);
                let inner = (v * v).madd::<FMA>(T::from_f64(3.0 * factor * cube), T::from_f64(factor));
                let tail = half * v * (T::ONE - tanh * tanh) * inner;
                half.madd::<FMA>(tanh, half) + tail
            }),
        }
    }
}

impl Pointwise {
    fn fwd<T: Real>(self, x: &[T]) -> Vec<T> {
        // SAFETY: `forward` writes the whole of every piece.
        unsafe {
            build(x.len(), PIECE, |i, out| {
                forward(self, &x[i * PIECE..][..out.len()], out);
            })
        }
    }

    /// f′(x) · dy.
    pub(crate) fn back<T: Real>(self, x: &[T], dy: &[T]) -> Vec<T> {
        // SAFETY: `backward` writes the whole of every piece.
        unsafe {
            build(x.len(), PIECE, |i, out| {
                let range = i * PIECE..i * PIECE + out.len();
                backward(self, &x[range.clone()], &dy[range], out);
            })
        }
    }
}

impl CustomOp1 for Pointwise {
    fn name(&self) -> &'static str {
        "hydranet-pointwise"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let storage = typed_storage!("pointwise", x, T => self.fwd::<T>(values(x, layout)?));
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        typed!("pointwise", x, T => with_values(x, |x_values: &[T]| {
            with_values(dy, |dy| tensor(self.back(x_values, dy), x.dims()).map(Some))
        }))
    }
}
