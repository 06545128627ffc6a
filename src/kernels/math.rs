//! Elementary functions in a form that loops vectorise: no branch, no table, no call.
//!
//! The `f32` versions reduce the argument as Cody and Waite (1980) do and evaluate minimax polynomials, fitted in `f64` by
//! iterated reweighted least squares (Lawson 1961) to the very interval they are used on. Each is within 2.5 units in the last
//! place of the correctly rounded result; a NaN stays a NaN. The `f64` versions are the precise ones of the standard library and
//! `libm`.

/// The elementary functions an element type has.
pub trait Elementary: Copy {
    /// eˣ.
    fn exp<const FMA: bool>(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh<const FMA: bool>(self) -> Self;
    /// (erf(x), e^(−x²)): one exponential serves the normal distribution and its density.
    fn erf_gauss<const FMA: bool>(self) -> (Self, Self);
    /// Square root, exact to the last bit.
    fn sqrt(self) -> Self;
}

impl Elementary for f64 {
    #[inline(always)]
    fn exp<const FMA: bool>(self) -> Self {
        f64::exp(self)
    }

    #[inline(always)]
    fn tanh<const FMA: bool>(self) -> Self {
        f64::tanh(self)
    }

    #[inline(always)]
    fn erf_gauss<const FMA: bool>(self) -> (Self, Self) {
        (libm::erf(self), f64::exp(-self * self))
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
}

/// `a * b + c`, fused where the instruction set has it.
#[inline(always)]
fn madd<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Σ coefficients[i] · xⁱ (Horner).
#[inline(always)]
fn polynomial<const FMA: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[N - 1];
    for i in (0..N - 1).rev() {
        sum = madd::<FMA>(sum, x, coefficients[i]);
    }
    sum
}

/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; gives n and e^r − 1. For |x| < 2²¹.
#[inline(always)]
fn reduced_exp<const FMA: bool>(x: f32) -> (i32, f32) {
    // Adding 1.5 · 2²³ rounds to an integer and leaves it in the low bits; an overflowing cast is thereby avoided.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first so short that its product with n is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const TAIL: [f32; 5] = [
        0.5,
        0.166_665_43,
        0.041_666_28,
        0.008_366_584,
        0.001_394_645_1,
    ];
    let shifted = madd::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = madd::<FMA>(n, -LN2_HIGH, x);
    let r = madd::<FMA>(n, -LN2_LOW, r);
    let tail = polynomial::<FMA, 5>(r, TAIL);
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    (n, madd::<FMA>(r * r, tail, r))
}

/// 2ⁿ for −126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

impl Elementary for f32 {
    #[inline(always)]
    fn exp<const FMA: bool>(self) -> Self {
        // Below −104 the result rounds to 0, above 89 to infinity.
        let x = if self < -104.0 { -104.0 } else { self };
        let x = if x > 89.0 { 89.0 } else { x };
        let (n, q) = reduced_exp::<FMA>(x);
        // In two factors: 2ⁿ alone may be beyond the normal numbers while the result is not.
        let half = n >> 1;
        (1.0 + q) * power_of_two(half) * power_of_two(n.wrapping_sub(half))
    }

    #[inline(always)]
    fn tanh<const FMA: bool>(self) -> Self {
        // tanh |x| = m / (m + 2) with m = e^(2|x|) − 1, which has no cancellation; at 10 it is 1 to the last bit.
        let x = self.abs();
        let x = if x > 10.0 { 10.0 } else { x };
        let (n, q) = reduced_exp::<FMA>(2.0 * x);
        let power = power_of_two(n);
        let m = madd::<FMA>(power, q, power - 1.0);
        (m / (m + 2.0)).copysign(self)
    }

    #[inline(always)]
    fn erf_gauss<const FMA: bool>(self) -> (Self, Self) {
        /// erf(x) = x + x·S(x²) up to this, 1 − e^(−x²)·L(x) beyond.
        const BORDER: f32 = 0.9;
        const SMALL: [f32; 6] = [
            0.128_379_15,
            -0.376_125_25,
            0.112_821_41,
            -0.026_778_914,
            0.005_011_968_3,
            -0.000_609_038_5,
        ];
        const LARGE: [f32; 9] = [
            0.994_261_3,
            -1.090_031_5,
            0.884_958_4,
            -0.546_050_55,
            0.250_926_5,
            -0.082_309_194,
            0.018_043_209,
            -0.002_351_676_8,
            0.000_137_058_93,
        ];
        let gauss = Elementary::exp::<FMA>(-self * self);
        let x = self.abs();
        // At 4 the result is 1 to the last bit.
        let x = if x > 4.0 { 4.0 } else { x };
        let small = madd::<FMA>(x, polynomial::<FMA, 6>(x * x, SMALL), x);
        let large = madd::<FMA>(-gauss, polynomial::<FMA, 9>(x, LARGE), 1.0);
        let erf = if x > BORDER { large } else { small };
        (erf.copysign(self), gauss)
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::Real;
    use crate::simd::kernel;

    kernel! {
        fn all<T>(x: &[T], exp: &mut [T], tanh: &mut [T], erf: &mut [T]) {
            for (i, x) in x.iter().enumerate() {
                exp[i] = x.exp::<FMA>();
                tanh[i] = x.tanh::<FMA>();
                erf[i] = x.erf_gauss::<FMA>().0;
            }
        }
    }

    /// The distance to the precise value in units of the last place of its `f32`, those of denormals being all alike.
    fn units(ours: f32, precise: f64) -> f64 {
        let rounded = precise as f32;
        if ours == rounded || (ours.is_nan() && precise.is_nan()) {
            return 0.0;
        }
        let last =
            f64::from(f32::from_bits(rounded.abs().to_bits() + 1)) - f64::from(rounded.abs());
        (f64::from(ours) - precise).abs() / last
    }

    /// Every 101st `f32` there is, NaNs, infinities and denormals among them.
    fn numbers() -> impl Iterator<Item = f32> {
        let special = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, -0.0];
        (0..=u32::MAX)
            .step_by(101)
            .map(f32::from_bits)
            .chain(special)
    }

    #[test]
    fn the_functions_are_within_two_and_a_half_units_of_the_last_place_everywhere() {
        let mut worst = [(0.0, 0.0f32); 6];
        let mut note = |i: usize, x: f32, ours: f32, precise: f64| {
            let off = units(ours, precise);
            if off.is_nan() || off > worst[i].0 {
                worst[i] = (off, x);
            }
        };
        let numbers: Vec<f32> = numbers().collect();
        let mut out = vec![[0f32; 512]; 3];
        for x in numbers.chunks(512) {
            let [exp, tanh, erf] = &mut out[..] else {
                unreachable!()
            };
            all::<f32>(x, exp, tanh, erf);
            for (i, &x) in x.iter().enumerate() {
                let precise = f64::from(x);
                let (e, t, g) = (precise.exp(), precise.tanh(), libm::erf(precise));
                note(0, x, exp[i], e);
                note(1, x, tanh[i], t);
                note(2, x, erf[i], g);
                note(3, x, Elementary::exp::<false>(x), e);
                note(4, x, Elementary::tanh::<false>(x), t);
                note(5, x, x.erf_gauss::<false>().0, g);
            }
        }
        println!("exp, tanh, erf; then without fused multiply-add: {worst:?}");
        assert!(worst.iter().all(|w| w.0 <= 2.5), "{worst:?}");
    }
}
