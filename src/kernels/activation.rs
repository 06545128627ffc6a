//! Activations value by value, each with its own derivative.

use crate::real::Real;
use crate::shared::SharedMut;
use crate::simd::kernel;

/// The activation after a normalisation or a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Activation {
    /// None.
    #[default]
    Identity,
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

impl Activation {
    /// Whether it is more than an interval that values are clamped to.
    pub(crate) fn is_curve(self) -> bool {
        !matches!(self, Self::Identity | Self::Relu | Self::Relu6)
    }

    /// The interval values are clamped to.
    pub fn bounds<T: Real>(self) -> (T, T) {
        let (low, high) = match self {
            Self::Relu => (0.0, f64::INFINITY),
            Self::Relu6 => (0.0, 6.0),
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        };
        (T::from_f64(low), T::from_f64(high))
    }
}

/// √(2/π) and the factor of the cube in [`Activation::GeluTanh`].
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
fn map<T: Real>(values: &mut [T], f: impl Fn(T) -> T) {
    for v in values {
        *v = f(*v);
    }
}

#[inline(always)]
fn follow<T: Real, const FMA: bool>(curve: Activation, values: &mut [T]) {
    let (half, three, six) = (T::from_f64(0.5), T::from_f64(3.0), T::from_f64(6.0));
    let hard = |v: T| at_most(at_least(v + three, T::ZERO), six) / six;
    match curve {
        Activation::Identity | Activation::Relu | Activation::Relu6 => {}
        Activation::Sigmoid => map(values, sigmoid::<T, FMA>),
        Activation::HardSigmoid => map(values, hard),
        Activation::Silu => map(values, |v| v / (T::ONE + (-v).exp::<FMA>())),
        Activation::HardSwish => map(values, |v| {
            v * at_most(at_least(v + three, T::ZERO), six) / six
        }),
        Activation::Gelu => map(values, |v| v * normal::<T, FMA>(v).0),
        Activation::GeluTanh => map(values, |v| {
            (half * v).madd::<FMA>(gelu_tanh::<T, FMA>(v), half * v)
        }),
    }
}

kernel! {
    /// Values become those of a curve.
    fn forward<T>(curve: Activation, values: &mut [T]) {
        follow::<T, FMA>(curve, values);
    }
}

/// Columns of a matrix become those of a curve: `columns` values from `first` on behind each of `places`.
///
/// # Safety
/// No other task may touch them.
pub(crate) unsafe fn forward_columns<T: Real>(
    curve: Activation,
    out: &SharedMut<T>,
    places: &[usize],
    (first, columns): (usize, usize),
) {
    kernel! {
        fn of_rows<T>(curve: Activation, out: &SharedMut<T>, places: &[usize], first: usize, columns: usize) {
            for place in places {
                // SAFETY: the caller's promise, outside.
                let row = unsafe { out.range(place + first, columns) };
                follow::<T, FMA>(curve, row);
            }
        }
    }
    of_rows(curve, out, places, first, columns);
}

#[inline(always)]
fn slope<T: Real>(x: &[T], dy: &[T], out: &mut [T], f: impl Fn(T) -> T) {
    for ((o, x), dy) in out.iter_mut().zip(x).zip(dy) {
        *o = *dy * f(*x);
    }
}

kernel! {
    /// out = f′(x) · dy of a curve; `out` is as long as `x` and `dy`.
    fn backward<T>(curve: Activation, x: &[T], dy: &[T], out: &mut [T]) {
        assert!(x.len() == out.len() && dy.len() == out.len());
        let (half, three, six) = (T::from_f64(0.5), T::from_f64(3.0), T::from_f64(6.0));
        match curve {
            Activation::Identity | Activation::Relu | Activation::Relu6 => out.copy_from_slice(dy),
            Activation::Sigmoid => slope(x, dy, out, |v| {
                // s · (1 − s) loses every digit where s is near 1; this is the same, and even in v.
                let e = (if v < T::ZERO { v } else { -v }).exp::<FMA>();
                e / ((T::ONE + e) * (T::ONE + e))
            }),
            Activation::HardSigmoid => slope(x, dy, out, |v| {
                let d = if v <= -three { T::ZERO } else { T::ONE / six };
                if v >= three { T::ZERO } else { d }
            }),
            Activation::Silu => slope(x, dy, out, |v| {
                let s = sigmoid::<T, FMA>(v);
                (v * s).madd::<FMA>(T::ONE - s, s)
            }),
            Activation::HardSwish => slope(x, dy, out, |v| {
                let d = v.madd::<FMA>(T::ONE / three, half);
                let d = if v >= three { T::ONE } else { d };
                if v <= -three { T::ZERO } else { d }
            }),
            Activation::Gelu => slope(x, dy, out, |v| {
                let (distribution, gauss) = normal::<T, FMA>(v);
                // 1/√(2π), the factor of the density.
                let density = gauss * T::from_f64(0.398_942_280_401_432_7);
                v.madd::<FMA>(density, distribution)
            }),
            Activation::GeluTanh => slope(x, dy, out, |v| {
                let (factor, cube) = GELU_TANH;
                let tanh = gelu_tanh::<T, FMA>(v);
                let inner = (v * v).madd::<FMA>(T::from_f64(3.0 * factor * cube), T::from_f64(factor));
                let tail = half * v * (T::ONE - tanh * tanh) * inner;
                half.madd::<FMA>(tanh, half) + tail
            }),
        }
    }
}
