//! Matrices turned.

use crate::real::Real;
use crate::simd::kernel;
#[cfg(target_arch = "x86_64")]
use std::any::TypeId;

/// Rows and columns that are turned at once.
pub(crate) const SIDE: usize = 8;

kernel! {
    /// out (columns × rows) := the transpose of `m` (rows × columns), in blocks that stay in the cache.
    fn transpose<T>(m: &[T], rows: usize, columns: usize, out: &mut [T]) {
        const BLOCK: usize = 32;
        assert!(m.len() >= rows * columns && out.len() >= rows * columns);
        let (deep, wide) = (rows / SIDE * SIDE, columns / SIDE * SIDE);
        for r in (0..rows).step_by(BLOCK) {
            let (whole, end) = ((r + BLOCK).min(deep), (r + BLOCK).min(rows));
            for c in (0..columns).step_by(BLOCK) {
                let (broad, right) = ((c + BLOCK).min(wide), (c + BLOCK).min(columns));
                for j in (c..broad).step_by(SIDE) {
                    for i in (r..whole).step_by(SIDE) {
                        turn::<T, FMA>(&m[i * columns + j..], columns, &mut out[j * rows + i..], rows);
                    }
                }
                for j in c..right {
                    for i in if j < broad { whole.max(r) } else { r }..end {
                        out[j * rows + i] = m[i * columns + j];
                    }
                }
            }
        }
    }
}

/// `to[j · to_step + i] = from[i · from_step + j]` for i and j below [`SIDE`]; `FMA` as in a [`kernel`].
#[inline(always)]
pub(crate) fn turn<T: Real, const FMA: bool>(
    from: &[T],
    from_step: usize,
    to: &mut [T],
    to_step: usize,
) {
    assert!(from.len() >= (SIDE - 1) * from_step + SIDE);
    assert!(to.len() >= (SIDE - 1) * to_step + SIDE);
    #[cfg(target_arch = "x86_64")]
    if FMA && TypeId::of::<T>() == TypeId::of::<f32>() {
        // SAFETY: T is `f32`; a kernel has fused multiply-add only where AVX2 was found; all rows were seen to be there.
        unsafe {
            x86::turn(
                from.as_ptr().cast(),
                from_step,
                to.as_mut_ptr().cast(),
                to_step,
            )
        };
        return;
    }
    for i in 0..SIDE {
        for j in 0..SIDE {
            to[j * to_step + i] = from[i * from_step + j];
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// # Safety
    /// The processor must have AVX; eight rows of eight values must be readable and writable, so far apart.
    #[inline]
    #[target_feature(enable = "avx")]
    pub(super) unsafe fn turn(from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            // Halves of rows i and i + 4 side by side: then each half of a register is a matrix of 4 × 4 of its own.
            let half = |row: usize, at: usize| {
                let low = _mm_loadu_ps(from.add(row * from_step + at));
                let high = _mm_loadu_ps(from.add((row + 4) * from_step + at));
                _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(low), high)
            };
            for at in [0, 4] {
                let (a, b, c, d) = (half(0, at), half(1, at), half(2, at), half(3, at));
                let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
                let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
                let columns = [
                    _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd),
                    _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd),
                    _mm256_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high),
                    _mm256_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high),
                ];
                for (j, column) in columns.into_iter().enumerate() {
                    _mm256_storeu_ps(to.add((at + j) * to_step), column);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Real>(rows: usize, columns: usize) {
        let m: Vec<T> = (0..rows * columns).map(|i| T::from_f64(i as f64)).collect();
        let mut out = vec![T::ZERO; m.len()];
        transpose(&m, rows, columns, &mut out);
        for (i, row) in m.chunks(columns).enumerate() {
            for (j, v) in row.iter().enumerate() {
                assert!(out[j * rows + i] == *v, "{rows} × {columns} at {i}, {j}");
            }
        }
    }

    #[test]
    fn matrices_of_every_shape_are_turned() {
        for rows in [1, 3, 8, 9, 31, 32, 40, 67] {
            for columns in [1, 2, 7, 8, 16, 33, 41, 64] {
                check::<f32>(rows, columns);
                check::<f64>(rows, columns);
            }
        }
    }
}
