//! Matrices turned.

use crate::real::Real;

/// out (columns × rows) := the transpose of `m` (rows × columns), in blocks that stay in the cache.
pub fn transpose<T: Real>(m: &[T], rows: usize, columns: usize, out: &mut [T]) {
    const BLOCK: usize = 32;
    for r in (0..rows).step_by(BLOCK) {
        for c in (0..columns).step_by(BLOCK) {
            for j in c..(c + BLOCK).min(columns) {
                for i in r..(r + BLOCK).min(rows) {
                    out[j * rows + i] = m[i * columns + j];
                }
            }
        }
    }
}
