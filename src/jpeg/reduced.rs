//! The reduced inverse transforms: a block as 4 × 4, 2 × 2 or one sample, as libjpeg's `jidctred` computes them.
//!
//! A sample is the mean of those of the whole transform that it stands for. In the scaling of [`crate::idct`] these are along a
//! row `x₀ + √2 Σ xₖ cos((2i + 1) k π / 16)`, and the mean of two neighbours or of four is a sum of the same form:
//!
//! - of two: `x₀ + √2 Σ xₖ cos(k π / 16) cos((2i + 1) k π / 8)`, in which the fourth coefficient has no share;
//! - of four: `x₀ + √2 Σ xₖ cos(k π / 16) cos(k π / 8) cos((2i + 1) k π / 4)`, in which only odd ones and the first have one.
//!
//! All is in integers: factors of 13 bits times two or four, columns first, two more bits between the passes, where values have
//! 16 bits and saturate.

type Lanes = [i16; 8];

/// The factors of the first of two, times 2^14: of the coefficients 2 and 6, and of 1, 3, 5 and 7 for the samples 0 and 1. The
/// samples 2 and 3 have those of 1 and 0 with other signs.
const EVEN: [i32; 2] = [15137, -6270];
const ODD: [[i32; 4]; 2] = [[20995, 7373, -4926, -4176], [8697, -17799, 11893, -1730]];
/// The factors of the mean of four, times 2^15: of the coefficients 1, 3, 5 and 7 for the sample 0; for the other the signs turn.
const QUARTER: [i32; 4] = [29692, -10426, 6967, -5906];

/// Divided by 2^`SHIFT`, rounded, into 16 bits.
#[inline(always)]
fn narrow<const SHIFT: u32>(v: i32) -> i16 {
    (v.wrapping_add(1 << (SHIFT - 1)) >> SHIFT).clamp(-32768, 32767) as i16
}

#[inline(always)]
fn sum(values: [i16; 4], factors: [i32; 4]) -> i32 {
    let products = values.into_iter().zip(factors);
    products.fold(0, |sum, (v, f)| sum.wrapping_add(i32::from(v) * f))
}

/// Four samples of each of eight columns. Written as one loop, which compilers turn into vector instructions.
#[inline(never)]
fn halves<const SHIFT: u32>(x: &[Lanes; 8]) -> [Lanes; 4] {
    let mut out = [[0i16; 8]; 4];
    for i in 0..8 {
        let first = i32::from(x[0][i]) << 14;
        let second = i32::from(x[2][i]) * EVEN[0] + i32::from(x[6][i]) * EVEN[1];
        let even = [first.wrapping_add(second), first.wrapping_sub(second)];
        let odd = ODD.map(|factors| sum([x[1][i], x[3][i], x[5][i], x[7][i]], factors));
        for k in 0..2 {
            out[k][i] = narrow::<SHIFT>(even[k].wrapping_add(odd[k]));
            out[3 - k][i] = narrow::<SHIFT>(even[k].wrapping_sub(odd[k]));
        }
    }
    out
}

/// Two samples of a column.
#[inline(always)]
fn quarters<const SHIFT: u32>(first: i16, others: [i16; 4]) -> [i16; 2] {
    let (even, odd) = (i32::from(first) << 15, sum(others, QUARTER));
    [
        narrow::<SHIFT>(even.wrapping_add(odd)),
        narrow::<SHIFT>(even.wrapping_sub(odd)),
    ]
}

fn level(v: i16) -> u8 {
    (v.clamp(-128, 127) + 128) as u8
}

/// The samples of a block, 4, 2 or 1 across and down, into a plane from `at` on; as [`crate::idct::block`].
#[inline(always)]
pub(crate) fn block(
    coefficients: &[i16; 64],
    seen: u8,
    size: usize,
    plane: &mut [u8],
    at: usize,
    stride: usize,
) {
    match size {
        1 => {
            if let Some(out) = plane.get_mut(at) {
                *out = level(coefficients[0].wrapping_add(4) >> 3);
            }
        }
        _ if seen == 0 => {
            // What all passes give where only the first coefficient is there.
            let value = level(narrow::<5>(i32::from(coefficients[0].wrapping_shl(2))));
            for r in 0..size {
                let start = at + r * stride;
                if let Some(out) = plane.get_mut(start..start + size) {
                    out.fill(value);
                }
            }
        }
        2 => quarter(coefficients, plane, at, stride),
        _ => half(coefficients, plane, at, stride),
    }
}

#[inline(never)]
fn half(coefficients: &[i16; 64], plane: &mut [u8], at: usize, stride: usize) {
    let mut x = [[0i16; 8]; 8];
    for (row, part) in x.iter_mut().zip(coefficients.chunks_exact(8)) {
        row.copy_from_slice(part);
    }
    let rows = halves::<12>(&x);
    // Rows as columns, of which there are four.
    let mut columns = [[0i16; 8]; 8];
    for (r, row) in rows.iter().enumerate() {
        for (column, &value) in columns.iter_mut().zip(row) {
            column[r] = value;
        }
    }
    let columns = halves::<19>(&columns);
    for r in 0..4 {
        let start = at + r * stride;
        if let Some(out) = plane.get_mut(start..start + 4) {
            for (out, column) in out.iter_mut().zip(&columns) {
                *out = level(column[r]);
            }
        }
    }
}

#[inline(never)]
fn quarter(coefficients: &[i16; 64], plane: &mut [u8], at: usize, stride: usize) {
    let column = |i: usize| {
        let row = |r: usize| coefficients[8 * r + i];
        quarters::<13>(row(0), [row(1), row(3), row(5), row(7)])
    };
    let columns = [0, 1, 3, 5, 7].map(column);
    for r in 0..2 {
        let [first, others @ ..] = columns.map(|column| column[r]);
        let start = at + r * stride;
        if let Some(out) = plane.get_mut(start..start + 2) {
            let row = quarters::<20>(first, others);
            out.copy_from_slice(&row.map(level));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::{PI, SQRT_2};

    /// What a coefficient adds to the mean of `of` samples from `of · i` on.
    fn share(k: usize, of: usize, i: usize) -> f64 {
        let cosines =
            (of * i..of * (i + 1)).map(|x| ((2 * x + 1) as f64 * k as f64 * PI / 16.0).cos());
        let mean = cosines.sum::<f64>() / of as f64;
        if k == 0 { mean } else { SQRT_2 * mean }
    }

    #[test]
    fn the_factors_are_those_of_means() {
        let close = |factor: i32, bits: i32, want: f64| {
            assert_eq!(factor, (want * f64::from(1 << bits)).round() as i32);
        };
        for (i, factors) in ODD.iter().enumerate() {
            for (factor, k) in factors.iter().zip([1, 3, 5, 7]) {
                close(*factor, 14, share(k, 2, i));
            }
        }
        for (factor, k) in EVEN.iter().zip([2, 6]) {
            close(*factor, 14, share(k, 2, 0));
        }
        for (factor, k) in QUARTER.iter().zip([1, 3, 5, 7]) {
            close(*factor, 15, share(k, 4, 0));
        }
        assert!(share(4, 2, 0).abs() < 1e-12 && share(4, 2, 1).abs() < 1e-12);
        assert!([2, 4, 6].iter().all(|k| share(*k, 4, 0).abs() < 1e-12));
    }

    #[test]
    fn samples_are_means_of_the_cosine_transform_to_the_last_step() {
        let mut state = 1u32;
        for round in 0..600 {
            let mut coefficients = [0i16; 64];
            let mut seen = 0;
            for i in (0..64).take(1 + round % 64) {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                coefficients[i] = (state >> 24) as i16 - 128;
                seen |= if coefficients[i] != 0 { i as u8 } else { 0 };
            }
            for size in [4, 2, 1] {
                let mut plane = [0u8; 64];
                block(&coefficients, seen, size, &mut plane, 0, 8);
                for (at, found) in plane.into_iter().enumerate() {
                    let (y, x) = (at / 8, at % 8);
                    if y >= size || x >= size {
                        assert_eq!(found, 0);
                        continue;
                    }
                    let all = coefficients.iter().enumerate().map(|(k, c)| {
                        f64::from(*c) * share(k / 8, 8 / size, y) * share(k % 8, 8 / size, x)
                    });
                    let want = (all.sum::<f64>() / 8.0 + 128.0).clamp(0.0, 255.0);
                    assert!((f64::from(found) - want).abs() < 0.6, "{size} {at}");
                }
            }
        }
    }
}
