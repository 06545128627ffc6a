//! Values kept for backward in half the memory: the upper half of an `f32`, rounded to nearest, ties to even ("bfloat16",
//! Kalamkar et al. 2019).

use crate::buffer::Buffer;
use crate::real::Real;
use crate::simd::kernel;
use rayon::prelude::*;

/// Values a task works on.
const PIECE: usize = 1 << 14;

kernel! {
    fn pack<T>(values: &[T], packed: &mut [u16]) {
        for (p, v) in packed.iter_mut().zip(values) {
            let bits = (v.to_f64() as f32).to_bits();
            let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
            // Rounding could make a NaN infinite.
            let nan = bits >> 16 | 0x40;
            *p = if bits & 0x7FFF_FFFF > 0x7F80_0000 { nan } else { rounded } as u16;
        }
    }
}

kernel! {
    fn unpack<T>(packed: &[u16], values: &mut [T]) {
        for (v, p) in values.iter_mut().zip(packed) {
            *v = T::from_f64(f64::from(f32::from_bits(u32::from(*p) << 16)));
        }
    }
}

/// Rounded values.
pub struct Rounded(Vec<u16>);

impl Rounded {
    pub fn new<T: Real>(values: &[T]) -> Self {
        let mut packed = vec![0; values.len()];
        packed
            .par_chunks_mut(PIECE)
            .zip(values.par_chunks(PIECE))
            .for_each(|(p, v)| pack(v, p));
        Self(packed)
    }

    pub fn values<T: Real>(&self) -> Buffer<T> {
        let mut values = Buffer::new(self.0.len());
        values
            .par_chunks_mut(PIECE)
            .zip(self.0.par_chunks(PIECE))
            .for_each(|(v, p)| unpack(p, v));
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_to_eight_bits_and_broken_ones_stay_so() {
        let values = [
            (0.0, 0.0),
            (-0.0, -0.0),
            (1.0, 1.0),
            (-2.5, -2.5),
            (1.0 + 1.0 / 256.0, 1.0),
            (1.0 + 3.0 / 256.0, 1.0 + 4.0 / 256.0),
            (1.0 + 1.1 / 256.0, 1.0 + 2.0 / 256.0),
            (f32::INFINITY, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (f32::MAX, f32::INFINITY),
        ];
        let given: Vec<f32> = values.iter().map(|(v, _)| *v).collect();
        let found = Rounded::new(&given).values::<f32>();
        for (found, (given, expected)) in found.iter().zip(values) {
            assert_eq!(found.to_bits(), expected.to_bits(), "{given}");
        }
        for bits in [0x7F80_0001, 0x7FFF_FFFF, 0xFFFF_FFFFu32] {
            assert!(Rounded::new(&[f32::from_bits(bits)]).values::<f32>()[0].is_nan());
        }
        let many: Vec<f64> = (0..40_001).map(|i| f64::from(i) * 0.37 - 5000.0).collect();
        let found = Rounded::new(&many).values::<f64>();
        for (found, given) in found.iter().zip(&many) {
            assert!((found - given).abs() <= given.abs() / 256.0);
        }
    }
}
