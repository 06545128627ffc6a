//! The inverse discrete cosine transform, as libjpeg-turbo's `jidctint` computes it on processors with vector instructions.
//!
//! Loeffler, Ligtenberg and Moschytz's scheme in integers: factors of 13 bits, two more bits between the passes. Coefficients,
//! sums of two of them and what stands between the passes have 16 bits, of which sums wrap and results of a pass saturate: for
//! pictures from an encoder nothing wraps, and the result is that of every build of libjpeg.

type Lanes = [i16; 8];

/// Factors times 2^13.
const F_0_298: i32 = 2446;
const F_0_390: i32 = 3196;
const F_0_541: i32 = 4433;
const F_0_765: i32 = 6270;
const F_0_899: i32 = 7373;
const F_1_175: i32 = 9633;
const F_1_501: i32 = 12299;
const F_1_847: i32 = 15137;
const F_1_961: i32 = 16069;
const F_2_053: i32 = 16819;
const F_2_562: i32 = 20995;
const F_3_072: i32 = 25172;

/// One pass over eight columns at once. Written as one loop, which compilers turn into vector instructions.
///
/// With `LOW`, the last four coefficients of each are 0, which leaves out what is multiplied by them.
/// None of the products of 16 bits can overflow; sums may, where coefficients are no picture's.
#[inline(never)]
fn pass<const SHIFT: u32, const LOW: bool>(x: &[Lanes; 8]) -> [Lanes; 8] {
    let mut out = [[0i16; 8]; 8];
    for i in 0..8 {
        let wide = |v: i16| i32::from(v);
        // a p + b q
        let dot = |a: i16, p: i32, b: i16, q: i32| (wide(a) * p).wrapping_add(wide(b) * q);
        let [x0, x1, x2, x3] = [x[0][i], x[1][i], x[2][i], x[3][i]];
        let [x4, x5, x6, x7] = if LOW {
            [0; 4]
        } else {
            [x[4][i], x[5][i], x[6][i], x[7][i]]
        };
        let e2 = dot(x2, F_0_541, x6, F_0_541 - F_1_847);
        let e3 = dot(x2, F_0_541 + F_0_765, x6, F_0_541);
        let e0 = wide(x0.wrapping_add(x4)) << 13;
        let e1 = wide(x0.wrapping_sub(x4)) << 13;
        let even = [
            e0.wrapping_add(e3),
            e1.wrapping_add(e2),
            e1.wrapping_sub(e2),
            e0.wrapping_sub(e3),
        ];

        let z3 = x7.wrapping_add(x3);
        let z4 = x5.wrapping_add(x1);
        let y3 = dot(z3, F_1_175 - F_1_961, z4, F_1_175);
        let y4 = dot(z3, F_1_175, z4, F_1_175 - F_0_390);
        let odd = [
            dot(x7, -F_0_899, x1, F_1_501 - F_0_899).wrapping_add(y4),
            dot(x5, -F_2_562, x3, F_3_072 - F_2_562).wrapping_add(y3),
            dot(x5, F_2_053 - F_2_562, x3, -F_2_562).wrapping_add(y4),
            dot(x7, F_0_298 - F_0_899, x1, -F_0_899).wrapping_add(y3),
        ];
        // Divided by 2^SHIFT, rounded, into 16 bits.
        let narrow =
            |v: i32| (v.wrapping_add(1 << (SHIFT - 1)) >> SHIFT).clamp(-32768, 32767) as i16;
        for k in 0..4 {
            out[k][i] = narrow(even[k].wrapping_add(odd[k]));
            out[7 - k][i] = narrow(even[k].wrapping_sub(odd[k]));
        }
    }
    out
}

/// Each row of the upper half shuffled with one of the lower: three times this makes rows columns.
///
/// Not inlined, for compilers take the three for one, which they have no vector instructions for.
#[inline(never)]
fn shuffled(x: &[Lanes; 8]) -> [Lanes; 8] {
    let mut out = [[0i16; 8]; 8];
    for i in 0..4 {
        let (a, b) = (x[i], x[i + 4]);
        out[2 * i] = [a[0], b[0], a[1], b[1], a[2], b[2], a[3], b[3]];
        out[2 * i + 1] = [a[4], b[4], a[5], b[5], a[6], b[6], a[7], b[7]];
    }
    out
}

/// Rows as columns.
#[inline(always)]
fn transposed(x: &[Lanes; 8]) -> [Lanes; 8] {
    shuffled(&shuffled(&shuffled(x)))
}

/// The samples of a block of coefficients that have been multiplied by their steps, into a plane from `at` on.
///
/// `seen` is all places of coefficients that are not 0, joined by "or": places have three bits for the row and three for the
/// column.
#[inline(always)]
pub(crate) fn block(
    coefficients: &[i16; 64],
    seen: u8,
    plane: &mut [u8],
    at: usize,
    stride: usize,
) {
    if seen == 0 {
        flat(coefficients[0], plane, at, stride);
    } else if seen & 0b100_100 == 0 {
        transform::<true>(coefficients, seen, plane, at, stride);
    } else {
        transform::<false>(coefficients, seen, plane, at, stride);
    }
}

#[inline(never)]
fn transform<const LOW: bool>(
    coefficients: &[i16; 64],
    seen: u8,
    plane: &mut [u8],
    at: usize,
    stride: usize,
) {
    let mut x = [[0i16; 8]; 8];
    for (row, part) in x.iter_mut().zip(coefficients.chunks_exact(8)) {
        row.copy_from_slice(part);
    }
    let x = if seen & 0b111_000 == 0 {
        // What the pass gives, but for what it would saturate.
        [x[0].map(|v| v.wrapping_shl(2)); 8]
    } else {
        pass::<11, LOW>(&x)
    };
    let rows = transposed(&pass::<18, LOW>(&transposed(&x)));
    for (r, row) in rows.iter().enumerate() {
        let start = at + r * stride;
        if let Some(out) = plane.get_mut(start..start + 8) {
            for (out, &v) in out.iter_mut().zip(row) {
                *out = (v.clamp(-128, 127) + 128) as u8;
            }
        }
    }
}

/// The same for a block of which only the first coefficient is not 0.
fn flat(dc: i16, plane: &mut [u8], at: usize, stride: usize) {
    let level = (i32::from(dc.wrapping_shl(2)) + 16) >> 5;
    let value = (level.clamp(-128, 127) + 128) as u8;
    for r in 0..8 {
        let start = at + r * stride;
        if let Some(out) = plane.get_mut(start..start + 8) {
            out.fill(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transform by its definition (T.81, A.3.3).
    fn exact(coefficients: &[i16; 64]) -> [f64; 64] {
        std::array::from_fn(|i| {
            let (y, x) = ((i / 8) as f64, (i % 8) as f64);
            let mut sum = 0.0;
            for v in 0..8 {
                for u in 0..8 {
                    let scale = |k: usize| if k == 0 { 0.5f64.sqrt() } else { 1.0 };
                    let wave = |k: usize, t: f64| {
                        ((2.0 * t + 1.0) * k as f64 * std::f64::consts::PI / 16.0).cos()
                    };
                    sum += scale(u)
                        * scale(v)
                        * f64::from(coefficients[8 * v + u])
                        * wave(u, x)
                        * wave(v, y);
                }
            }
            (sum / 4.0 + 128.0).clamp(0.0, 255.0)
        })
    }

    fn seen(coefficients: &[i16; 64]) -> u8 {
        (0..64u8)
            .filter(|&i| coefficients[usize::from(i)] != 0)
            .fold(0, |a, i| a | i)
    }

    #[test]
    fn it_is_the_cosine_transform_to_the_last_step() {
        let mut state = 1u32;
        for round in 0..300 {
            let mut coefficients = [0i16; 64];
            for c in coefficients.iter_mut().take(1 + round % 64) {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                *c = (state >> 24) as i16 - 128;
            }
            let mut plane = [0u8; 64];
            block(&coefficients, seen(&coefficients), &mut plane, 0, 8);
            for (got, want) in plane.iter().zip(exact(&coefficients)) {
                assert!((f64::from(*got) - want).abs() < 0.6, "{got} {want}");
            }
        }
    }

    #[test]
    fn the_short_ways_give_what_the_long_one_does() {
        let mut state = 1u32;
        for dc in -2100..2100 {
            let mut coefficients = [0i16; 64];
            coefficients[0] = dc;
            for i in 0..(dc.rem_euclid(9)) {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                let place = (state >> 8) as usize & if i % 2 == 0 { 0b011_011 } else { 0b000_011 };
                coefficients[place] = (state >> 22) as i16 - 512;
            }
            let (mut long, mut short) = ([0u8; 64], [0u8; 64]);
            block(&coefficients, 63, &mut long, 0, 8);
            block(&coefficients, seen(&coefficients), &mut short, 0, 8);
            assert_eq!(long, short);
        }
    }
}
