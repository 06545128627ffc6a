//! The inverse discrete cosine transform, as libjpeg-turbo's `jidctint` computes it on processors with vector instructions.
//!
//! Loeffler, Ligtenberg and Moschytz's scheme in integers: factors of 13 bits, two more bits between the passes. Coefficients, sums of
//! two of them and what stands between the passes have 16 bits, of which sums wrap and results of a pass saturate: for pictures from
//! an encoder nothing wraps, and the result is that of every build of libjpeg.

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
/// None of the products of 16 bits can overflow; sums may, where coefficients are no picture's.
#[inline(always)]
fn pass<const SHIFT: u32>(x: &[Lanes; 8]) -> [Lanes; 8] {
    let mut out = [[0i16; 8]; 8];
    for i in 0..8 {
        let wide = |v: i16| i32::from(v);
        // a p + b q
        let dot = |a: i16, p: i32, b: i16, q: i32| (wide(a) * p).wrapping_add(wide(b) * q);
        let e2 = dot(x[2][i], F_0_541, x[6][i], F_0_541 - F_1_847);
        let e3 = dot(x[2][i], F_0_541 + F_0_765, x[6][i], F_0_541);
        let e0 = wide(x[0][i].wrapping_add(x[4][i])) << 13;
        let e1 = wide(x[0][i].wrapping_sub(x[4][i])) << 13;
        let even = [
            e0.wrapping_add(e3),
            e1.wrapping_add(e2),
            e1.wrapping_sub(e2),
            e0.wrapping_sub(e3),
        ];

        let z3 = x[7][i].wrapping_add(x[3][i]);
        let z4 = x[5][i].wrapping_add(x[1][i]);
        let y3 = dot(z3, F_1_175 - F_1_961, z4, F_1_175);
        let y4 = dot(z3, F_1_175, z4, F_1_175 - F_0_390);
        let odd = [
            dot(x[7][i], -F_0_899, x[1][i], F_1_501 - F_0_899).wrapping_add(y4),
            dot(x[5][i], -F_2_562, x[3][i], F_3_072 - F_2_562).wrapping_add(y3),
            dot(x[5][i], F_2_053 - F_2_562, x[3][i], -F_2_562).wrapping_add(y4),
            dot(x[7][i], F_0_298 - F_0_899, x[1][i], -F_0_899).wrapping_add(y3),
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

#[inline(always)]
fn transposed(x: &[Lanes; 8]) -> [Lanes; 8] {
    let mut out = [[0i16; 8]; 8];
    for (i, row) in x.iter().enumerate() {
        for (j, &v) in row.iter().enumerate() {
            out[j][i] = v;
        }
    }
    out
}

/// The samples of a block of coefficients that have been multiplied by their steps, into a plane from `at` on.
pub(crate) fn block(coefficients: &[i16; 64], plane: &mut [u8], at: usize, stride: usize) {
    let mut x = [[0i16; 8]; 8];
    for (row, part) in x.iter_mut().zip(coefficients.chunks_exact(8)) {
        row.copy_from_slice(part);
    }
    let x = if coefficients[8..].iter().all(|&c| c == 0) {
        // What the pass gives, but for what it would saturate.
        [x[0].map(|v| v.wrapping_shl(2)); 8]
    } else {
        pass::<11>(&x)
    };
    let rows = transposed(&pass::<18>(&transposed(&x)));
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
pub(crate) fn flat(dc: i16, plane: &mut [u8], at: usize, stride: usize) {
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
            block(&coefficients, &mut plane, 0, 8);
            for (got, want) in plane.iter().zip(exact(&coefficients)) {
                assert!((f64::from(*got) - want).abs() < 0.6, "{got} {want}");
            }
        }
    }

    #[test]
    fn a_flat_block_is_the_block_of_its_first_coefficient() {
        for dc in -2100..2100 {
            let mut coefficients = [0i16; 64];
            coefficients[0] = dc;
            let (mut whole, mut short) = ([0u8; 64], [0u8; 64]);
            block(&coefficients, &mut whole, 0, 8);
            flat(dc, &mut short, 0, 8);
            assert_eq!(whole, short);
        }
    }
}
