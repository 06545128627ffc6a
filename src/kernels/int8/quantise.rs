//! Between real values and eight bits.

/// What the bytes of a map mean: scale · (q − zero).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Greater than 0.
    pub scale: f32,
    /// The byte of the value 0.
    pub zero: u8,
}

impl Scale {
    /// The scale of values from `low` to `high`. 0 is always among them and has a byte of its own, for the zeros around a map.
    pub fn of(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let width = high - low;
        // Of a map that is 0 everywhere any scale serves.
        let scale = if width > 0.0 { width / 255.0 } else { 1.0 };
        let zero = (-low / scale).round_ties_even().clamp(0.0, 255.0);
        Self {
            scale: scale.max(f32::MIN_POSITIVE),
            zero: zero as u8,
        }
    }

    /// The value of a byte.
    pub fn value(self, q: u8) -> f32 {
        self.scale * (f32::from(q) - f32::from(self.zero))
    }
}

/// The least `f32` of 16 binary digits that is not below `v`, of a `v` ≥ 0.
fn sixteen_digits_up(v: f32) -> f32 {
    f32::from_bits((v.to_bits() + 0xFF) & !0xFF)
}

/// Rows of `len` finite values as whole numbers from −127 to 127 and a scale each: symmetric and by output channel, as
/// Krishnamoorthi 2018 recommends for weights. The scale is max |w| / 127, rounded up to 16 binary digits: q · scale is then exact
/// in `f32`, and quantising once more changes nothing. A row of zeros has the scale 0.
pub fn by_row(values: &[f32], len: usize) -> (Vec<i8>, Vec<f32>) {
    let (mut q, mut scale) = (Vec::with_capacity(values.len()), Vec::new());
    for row in values.chunks(len.max(1)) {
        let greatest = row.iter().fold(0f32, |m, v| m.max(v.abs()));
        let s = sixteen_digits_up(greatest / 127.0);
        let step = if s > 0.0 { 1.0 / f64::from(s) } else { 0.0 };
        q.extend(row.iter().map(|v| {
            let whole = (f64::from(*v) * step).round_ties_even();
            whole.clamp(-127.0, 127.0) as i8
        }));
        scale.push(s);
    }
    (q, scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_sixteen_digits_and_are_not_below() {
        for v in [0.0f32, 1.0, 0.1, 1e-30, 3.402e38 / 128.0, 0.003_921_57] {
            let s = sixteen_digits_up(v);
            assert!(s >= v && s <= v * (1.0 + 1.0 / 32_768.0), "{v} {s}");
            for q in 1..=127u8 {
                let product = f32::from(q) * s;
                assert_eq!(f64::from(product), f64::from(q) * f64::from(s));
            }
        }
    }

    #[test]
    fn zero_has_a_byte_of_its_own_in_every_range() {
        for (low, high) in [
            (0.0, 6.0),
            (-1.0, 1.0),
            (-3.0, -1.0),
            (2.0, 5.0),
            (0.0, 0.0),
            (-7.3, 0.01),
        ] {
            let scale = Scale::of(low, high);
            assert!(scale.scale > 0.0);
            assert_eq!(scale.value(scale.zero), 0.0);
            for v in [low, high] {
                let q = v / scale.scale + f32::from(scale.zero);
                assert!((-0.51..255.51).contains(&q), "{low} {high}: {q}");
            }
        }
    }
}
