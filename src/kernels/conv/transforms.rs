//! The transformations of Winograd's F(2 × 2, 3 × 3), a vector of channels at a time. See `winograd.rs`.

// Indices are places in a matrix.
#![allow(clippy::needless_range_loop)]

use crate::real::Real;
use crate::simd::kernel;

#[inline(always)]
fn load<T: Real, const L: usize>(values: &[T], at: usize, n: usize) -> [T; L] {
    let mut out = [T::ZERO; L];
    if n == L {
        out.copy_from_slice(&values[at..at + L]);
    } else {
        out[..n].copy_from_slice(&values[at..at + n]);
    }
    out
}

#[inline(always)]
fn store<T: Real, const L: usize>(lanes: [T; L], values: &mut [T], at: usize, n: usize) {
    if n == L {
        values[at..at + L].copy_from_slice(&lanes);
    } else {
        values[at..at + n].copy_from_slice(&lanes[..n]);
    }
}

#[inline(always)]
fn plus<T: Real, const L: usize>(a: [T; L], b: [T; L]) -> [T; L] {
    let mut out = a;
    for (o, b) in out.iter_mut().zip(b) {
        *o += b;
    }
    out
}

#[inline(always)]
fn minus<T: Real, const L: usize>(a: [T; L], b: [T; L]) -> [T; L] {
    let mut out = a;
    for (o, b) in out.iter_mut().zip(b) {
        *o -= b;
    }
    out
}

/// Bᵀ·(four values).
#[inline(always)]
fn by_b<T: Real, const L: usize>([a, b, c, d]: [[T; L]; 4]) -> [[T; L]; 4] {
    [minus(a, c), plus(b, c), minus(c, b), minus(b, d)]
}

kernel! {
    /// Bᵀ·d·B of a patch (16, c): sixteen rows of c values, `step` apart.
    fn input_of<T>(d: &[T], c: usize, step: usize, out: &mut [T]) {
        for l in (0..c).step_by(L) {
            let n = L.min(c - l);
            let mut rows = [[[T::ZERO; L]; 4]; 4];
            for x in 0..4 {
                let column = by_b([
                    load(d, x * c + l, n),
                    load(d, (4 + x) * c + l, n),
                    load(d, (8 + x) * c + l, n),
                    load(d, (12 + x) * c + l, n),
                ]);
                for y in 0..4 {
                    rows[y][x] = column[y];
                }
            }
            for (y, row) in rows.into_iter().enumerate() {
                for (x, v) in by_b(row).into_iter().enumerate() {
                    store(v, out, (y * 4 + x) * step + l, n);
                }
            }
        }
    }
}

kernel! {
    /// Aᵀ·m·A: from sixteen rows of c values, `step` apart, to (2 · 2, c).
    fn output_of<T>(m: &[T], c: usize, step: usize, out: &mut [T]) {
        for l in (0..c).step_by(L) {
            let n = L.min(c - l);
            let mut rows = [[[T::ZERO; L]; 4]; 2];
            for x in 0..4 {
                let (m0, m1) = (load(m, x * step + l, n), load(m, (4 + x) * step + l, n));
                let (m2, m3) = (load(m, (8 + x) * step + l, n), load(m, (12 + x) * step + l, n));
                rows[0][x] = plus(plus(m0, m1), m2);
                rows[1][x] = minus(minus(m1, m2), m3);
            }
            for (y, [m0, m1, m2, m3]) in rows.into_iter().enumerate() {
                store(plus(plus(m0, m1), m2), out, 2 * y * c + l, n);
                store(minus(minus(m1, m2), m3), out, (2 * y + 1) * c + l, n);
            }
        }
    }
}

kernel! {
    /// A·dy·Aᵀ: from (2 · 2, c) to sixteen rows of c values, `step` apart.
    fn gradient_of<T>(dy: &[T], c: usize, step: usize, out: &mut [T]) {
        for l in (0..c).step_by(L) {
            let n = L.min(c - l);
            let zero = [T::ZERO; L];
            let mut rows = [[zero; 2]; 4];
            for x in 0..2 {
                let (a, b) = (load(dy, x * c + l, n), load(dy, (2 + x) * c + l, n));
                rows[0][x] = a;
                rows[1][x] = plus(a, b);
                rows[2][x] = minus(a, b);
                rows[3][x] = minus(zero, b);
            }
            for (y, [a, b]) in rows.into_iter().enumerate() {
                store(a, out, y * 4 * step + l, n);
                store(plus(a, b), out, (y * 4 + 1) * step + l, n);
                store(minus(a, b), out, (y * 4 + 2) * step + l, n);
                store(minus(zero, b), out, (y * 4 + 3) * step + l, n);
            }
        }
    }
}
