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
            for (((out, &y), &cb), &cr) in out.chunks_exact_mut(3).zip(*y).zip(*cb).zip(*cr) {
                let [r, g, b] = rgb(y, cb, cr);
                out[0] = r;
                out[1] = g;
                out[2] = b;
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
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let r = y + cr + ((26345 * cr + 32768) >> 16);
    let g = y - cr + ((18734 * cr - 22554 * cb + 32768) >> 16);
    let b = y + 2 * cb + ((-14942 * cb + 32768) >> 16);
    [
        r.clamp(0, 255) as u8,
        g.clamp(0, 255) as u8,
        b.clamp(0, 255) as u8,
    ]
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
