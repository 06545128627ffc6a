//! What makes bytes of sums.

use super::{BLOCK, Scale};

/// What follows the sums of a convolution, in real values.
#[derive(Clone, Debug)]
pub struct Following {
    /// Of each channel what its sums over real values are multiplied by.
    pub scale: Vec<f64>,
    /// Of each channel what is added then.
    pub shift: Vec<f64>,
    /// What is clamped to at the end.
    pub bounds: (f64, f64),
    /// What the bytes of a map mean that is added before that.
    pub added: Option<Scale>,
}

/// What makes bytes of a convolution's sums: (sum + start) · scale + shift, + factor · byte of an added map, clamped, rounded.
#[derive(Clone, Debug)]
pub struct Finish {
    /// −zero of the input · Σ weights.
    pub(super) start: Vec<i32>,
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    pub(super) factor: f32,
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Finish {
    /// Of weights `q`, a row for each output channel, each with its scale, over bytes that mean `input`; what comes out means
    /// `output`. `None` if a factor is not finite: the scales do not fit each other.
    pub fn new(
        (q, scales): (&[i8], &[f32]),
        input: Scale,
        output: Scale,
        following: &Following,
    ) -> Option<Self> {
        let channels = scales.len();
        let filled = channels.next_multiple_of(BLOCK);
        let row = (q.len() / channels.max(1)).max(1);
        let zero = i64::from(input.zero);
        let sums = q
            .chunks(row)
            .map(|row| row.iter().map(|w| i64::from(*w)).sum::<i64>());
        let mut start = sums
            .map(|sum| i32::try_from(-zero * sum).ok())
            .collect::<Option<Vec<i32>>>()?;
        start.resize(filled, 0);
        let step = 1.0 / f64::from(output.scale);
        let (mut scale, mut shift) = (vec![0f32; filled], vec![0f32; filled]);
        let (factor, behind) = match following.added {
            Some(added) => {
                let factor = f64::from(added.scale) * step;
                (factor, -f64::from(added.zero) * factor)
            }
            None => (0.0, 0.0),
        };
        let of_channels = scales
            .iter()
            .zip(following.scale.iter().zip(&following.shift));
        for (c, (of_weights, (gamma, beta))) in of_channels.enumerate() {
            let of_sums = f64::from(*of_weights) * f64::from(input.scale) * gamma;
            scale[c] = (of_sums * step) as f32;
            shift[c] = (beta * step + behind + f64::from(output.zero)) as f32;
        }
        let byte = |v: f64| {
            let q = (v * step).round_ties_even() + f64::from(output.zero);
            q.clamp(0.0, 255.0) as f32
        };
        let factor = factor as f32;
        let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
        let fits = finite(&scale) && finite(&shift) && finite(&[factor]);
        fits.then_some(Self {
            low: byte(following.bounds.0),
            high: byte(following.bounds.1),
            start,
            scale,
            shift,
            factor,
        })
    }

    /// Output channels, filled up.
    pub(super) fn channels(&self) -> usize {
        self.start.len()
    }

    /// The bytes of the sums of a block, which have `start` in them.
    #[inline(always)]
    pub(super) fn bytes(
        &self,
        block: usize,
        sums: &[i32; BLOCK],
        added: Option<&[u8]>,
        out: &mut [u8],
    ) {
        let at = block * BLOCK;
        let (scale, shift) = (&self.scale[at..][..BLOCK], &self.shift[at..][..BLOCK]);
        let mut values = [0f32; BLOCK];
        for (c, v) in values.iter_mut().enumerate() {
            *v = sums[c] as f32 * scale[c] + shift[c];
        }
        if let Some(added) = added {
            for (v, x) in values.iter_mut().zip(added) {
                *v += f32::from(*x) * self.factor;
            }
        }
        for (out, v) in out[..BLOCK].iter_mut().zip(values) {
            *out = rounded(v.max(self.low).min(self.high));
        }
    }
}

/// A value from 0 to 255 to the nearest integer, of two the even one: at 1.5 · 2²³ an `f32` has no digits behind the point, and
/// its last ones are the integer.
#[inline(always)]
pub(super) fn rounded(v: f32) -> u8 {
    (v + 12_582_912.0).to_bits() as u8
}

#[cfg(test)]
mod tests {
    #[test]
    fn values_are_rounded_to_the_nearest_even_byte() {
        for i in 0..=255_000u32 {
            let v = i as f32 / 1000.0;
            assert_eq!(f32::from(super::rounded(v)), v.round_ties_even(), "{v}");
        }
        for i in 0..255u8 {
            let v = f32::from(i) + 0.5;
            assert_eq!(f32::from(super::rounded(v)), v.round_ties_even(), "{v}");
        }
    }
}
