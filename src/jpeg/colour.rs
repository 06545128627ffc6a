//! From components to pixels.

/// The meaning of the components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    Grey,
    Rgb,
    /// Luma and two differences of colour.
    Ycc,
    Cmyk,
    /// The same for the first three of CMYK.
    Ycck,
}

/// Writes a line of pixels.
pub(crate) fn convert(space: Space, lines: &[&[u8]], out: &mut [u8]) {
    match (space, lines) {
        (Space::Grey, [grey]) => out.copy_from_slice(&grey[..out.len()]),
        (Space::Rgb, [r, g, b]) => {
            for (((out, &r), &g), &b) in out.chunks_exact_mut(3).zip(*r).zip(*g).zip(*b) {
                out.copy_from_slice(&[r, g, b]);
            }
        }
        (Space::Ycc, [y, cb, cr]) => {
            let (chunks, rest) = out.as_chunks_mut::<{ 3 * LANES }>();
            let parts = [y.as_chunks().0, cb.as_chunks().0, cr.as_chunks().0];
            for (((out, y), cb), cr) in chunks.iter_mut().zip(parts[0]).zip(parts[1]).zip(parts[2])
            {
                many(y, cb, cr, out);
            }
            let start = LANES * chunks.len();
            let parts = [&y[start..], &cb[start..], &cr[start..]];
            let rest = rest.chunks_exact_mut(3);
            for (((out, &y), &cb), &cr) in rest.zip(parts[0]).zip(parts[1]).zip(parts[2]) {
                out.copy_from_slice(&rgb(y, cb, cr));
            }
        }
        (Space::Cmyk | Space::Ycck, [c, m, y, k]) => {
            let pixels = out.chunks_exact_mut(3).zip(*c).zip(*m).zip(*y).zip(*k);
            for ((((out, &c), &m), &y), &k) in pixels {
                // YCCK gives 255 less C, M and Y.
                let ink = if space == Space::Ycck {
                    rgb(c, m, y).map(|v| 255 - v)
                } else {
                    [c, m, y]
                };
                for (out, ink) in out.iter_mut().zip(ink) {
                    *out = without_ink(255 - ink, k);
                }
            }
        }
        _ => {}
    }
}

/// Full-range BT.601, as libjpeg's `jdcolor` computes it: factors of 16 bits, rounded.
///
/// 1.402 and 1.772 and 0.71414 are written as 1 + 0.402, 2 - 0.228 and 1 - 0.28586, so that the factors have 16 bits with their
/// sign.
#[inline(always)]
fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i16::from(y), i16::from(cb) - 128, i16::from(cr) - 128);
    // Half of what the upper 16 bits of twice the product are, rounded.
    let part =
        |factor: i16, v: i16| ((((i32::from(factor) * i32::from(2 * v)) >> 16) as i16) + 1) >> 1;
    let both = 18734 * i32::from(cr) - 22554 * i32::from(cb);
    let r = y + cr + part(26345, cr);
    let g = y - cr + ((both + 32768) >> 16) as i16;
    let b = y + 2 * cb + part(-14942, cb);
    [
        r.clamp(0, 255) as u8,
        g.clamp(0, 255) as u8,
        b.clamp(0, 255) as u8,
    ]
}

/// Pixels that are computed at once.
const LANES: usize = 16;

/// So many pixels at once, which compilers turn into vector instructions.
#[inline(always)]
fn many(y: &[u8; LANES], cb: &[u8; LANES], cr: &[u8; LANES], out: &mut [u8; 3 * LANES]) {
    let mut pixels = [0u32; LANES];
    for i in 0..LANES {
        let [r, g, b] = rgb(y[i], cb[i], cr[i]);
        pixels[i] = u32::from(r) | u32::from(g) << 8 | u32::from(b) << 16;
    }
    // Two pixels a store of eight bytes, of which the next store overwrites two.
    for i in 0..LANES / 2 {
        let two = u64::from(pixels[2 * i]) | u64::from(pixels[2 * i + 1]) << 24;
        let bytes = two.to_le_bytes();
        match out.get_mut(6 * i..6 * i + 8) {
            Some(out) => out.copy_from_slice(&bytes),
            None => out[6 * i..].copy_from_slice(&bytes[..6]),
        }
    }
}

/// What is left of a colour, given inverted as Adobe's programs write it, with black, inverted too: as Pillow's conversion from
/// CMYK.
fn without_ink(ink: u8, light: u8) -> u8 {
    let product = u32::from(ink) * u32::from(light) + 128;
    light - (((product >> 8) + product) >> 8) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_tables_of_libjpeg() {
        let (half, clamp) = (1 << 15, |v: i64| v.clamp(0, 255) as u8);
        for y in (0..=255u8).step_by(5) {
            for cb in 0..=255u8 {
                for cr in 0..=255u8 {
                    let (x, u, v) = (i64::from(y), i64::from(cb) - 128, i64::from(cr) - 128);
                    let r = x + ((91881 * v + half) >> 16);
                    let g = x + ((-46802 * v - 22554 * u + half) >> 16);
                    let b = x + ((116130 * u + half) >> 16);
                    assert_eq!(rgb(y, cb, cr), [clamp(r), clamp(g), clamp(b)]);
                }
            }
        }
    }
}
