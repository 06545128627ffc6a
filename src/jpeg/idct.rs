//! The inverse discrete cosine transform, as libjpeg-turbo's `jidctint` computes it on processors with vector instructions.
//!
//! Loeffler, Ligtenberg and Moschytz's scheme in integers: factors of 13 bits, two more bits between the passes. Coefficients, sums of
//! two of them and what stands between the passes have 16 bits, of which sums wrap and results of a pass saturate: for pictures from
//! an encoder nothing wraps, and the result is that of every build of libjpeg.

type Lanes = [i16; 8];
type Wide = [i32; 8];

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

#[inline(always)]
fn lanes(f: impl Fn(usize) -> i16) -> Lanes {
    std::array::from_fn(f)
}

#[inline(always)]
fn wide(f: impl Fn(usize) -> i32) -> Wide {
    std::array::from_fn(f)
}

/// a p + b q. None of the products of 16 bits can overflow, nor their sum.
#[inline(always)]
fn dot(a: &Lanes, p: i32, b: &Lanes, q: i32) -> Wide {
    wide(|i| (i32::from(a[i]) * p).wrapping_add(i32::from(b[i]) * q))
}

#[inline(always)]
fn add(a: &Wide, b: &Wide) -> Wide {
    wide(|i| a[i].wrapping_add(b[i]))
}

#[inline(always)]
fn sub(a: &Wide, b: &Wide) -> Wide {
    wide(|i| a[i].wrapping_sub(b[i]))
}

/// Divides by 2^SHIFT, rounded, into 16 bits.
#[inline(always)]
fn narrow<const SHIFT: u32>(a: &Wide) -> Lanes {
    lanes(|i| (a[i].wrapping_add(1 << (SHIFT - 1)) >> SHIFT).clamp(-32768, 32767) as i16)
}

/// One pass over eight columns at once.
#[inline(always)]
fn pass<const SHIFT: u32>(x: &[Lanes; 8]) -> [Lanes; 8] {
    let e2 = dot(&x[2], F_0_541, &x[6], F_0_541 - F_1_847);
    let e3 = dot(&x[2], F_0_541 + F_0_765, &x[6], F_0_541);
    let e0 = wide(|i| i32::from(x[0][i].wrapping_add(x[4][i])) << 13);
    let e1 = wide(|i| i32::from(x[0][i].wrapping_sub(x[4][i])) << 13);
    let even = [add(&e0, &e3), add(&e1, &e2), sub(&e1, &e2), sub(&e0, &e3)];

    let z3 = lanes(|i| x[7][i].wrapping_add(x[3][i]));
    let z4 = lanes(|i| x[5][i].wrapping_add(x[1][i]));
    let y3 = dot(&z3, F_1_175 - F_1_961, &z4, F_1_175);
    let y4 = dot(&z3, F_1_175, &z4, F_1_175 - F_0_390);
    let odd = [
        add(&dot(&x[7], -F_0_899, &x[1], F_1_501 - F_0_899), &y4),
        add(&dot(&x[5], -F_2_562, &x[3], F_3_072 - F_2_562), &y3),
        add(&dot(&x[5], F_2_053 - F_2_562, &x[3], -F_2_562), &y4),
        add(&dot(&x[7], F_0_298 - F_0_899, &x[1], -F_0_899), &y3),
    ];
    std::array::from_fn(|i| {
        narrow::<SHIFT>(&if i < 4 {
            add(&even[i], &odd[i])
        } else {
            sub(&even[7 - i], &odd[7 - i])
        })
    })
}

#[inline(always)]
fn transposed(x: &[Lanes; 8]) -> [Lanes; 8] {
    std::array::from_fn(|i| lanes(|j| x[j][i]))
}

/// The samples of a block of coefficients that have been multiplied by their steps, in rows, into a plane from `at` on.
pub(crate) fn block(coefficients: &[i16; 64], plane: &mut [u8], at: usize, stride: usize) {
    let x: [Lanes; 8] = std::array::from_fn(|r| lanes(|c| coefficients[8 * r + c]));
    let x = if coefficients[8..].iter().all(|&c| c == 0) {
        // What the pass gives, but for what it would saturate.
        [lanes(|i| x[0][i].wrapping_shl(2)); 8]
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
