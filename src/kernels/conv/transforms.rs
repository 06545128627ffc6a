//! The transformations of Winograd's F(2 × 2, 3 × 3), a vector of channels at a time. See `winograd.rs`.

// Indices are places in a matrix.
#![allow(clippy::needless_range_loop)]

use crate::real::Real;
use crate::simd::{LANES, kernel};

/// A vector's worth of channels.
type Lanes<T> = [T; LANES];

#[inline(always)]
fn load<T: Real>(values: &[T], at: usize, n: usize) -> Lanes<T> {
    let mut out = [T::ZERO; LANES];
    if n == LANES {
        out.copy_from_slice(&values[at..at + LANES]);
    } else {
        out[..n].copy_from_slice(&values[at..at + n]);
    }
    out
}

#[inline(always)]
fn store<T: Real>(lanes: Lanes<T>, values: &mut [T], at: usize, n: usize) {
    if n == LANES {
        values[at..at + LANES].copy_from_slice(&lanes);
    } else {
        values[at..at + n].copy_from_slice(&lanes[..n]);
    }
}

#[inline(always)]
fn plus<T: Real>(a: Lanes<T>, b: Lanes<T>) -> Lanes<T> {
    let mut out = a;
    for (o, b) in out.iter_mut().zip(b) {
        *o += b;
    }
    out
}

#[inline(always)]
fn minus<T: Real>(a: Lanes<T>, b: Lanes<T>) -> Lanes<T> {
    let mut out = a;
    for (o, b) in out.iter_mut().zip(b) {
        *o -= b;
    }
    out
}

/// Bᵀ·(four values).
#[inline(always)]
fn by_b<T: Real>([a, b, c, d]: [Lanes<T>; 4]) -> [Lanes<T>; 4] {
    [minus(a, c), plus(b, c), minus(c, b), minus(b, d)]
}

kernel! {
    /// Bᵀ·d·B of a patch (16, c).
    fn input_of<T>(d: &[T], c: usize, out: &mut [T]) {
        for l in (0..c).step_by(LANES) {
            let n = LANES.min(c - l);
            let mut rows = [[[T::ZERO; LANES]; 4]; 4];
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
                    store(v, out, (y * 4 + x) * c + l, n);
                }
            }
        }
    }
}

kernel! {
    /// Aᵀ·m·A: from (16, c) to (2 · 2, c).
    fn output_of<T>(m: &[T], c: usize, out: &mut [T]) {
        for l in (0..c).step_by(LANES) {
            let n = LANES.min(c - l);
            let mut rows = [[[T::ZERO; LANES]; 4]; 2];
            for x in 0..4 {
                let (m0, m1) = (load(m, x * c + l, n), load(m, (4 + x) * c + l, n));
                let (m2, m3) = (load(m, (8 + x) * c + l, n), load(m, (12 + x) * c + l, n));
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
    /// A·dy·Aᵀ: from (2 · 2, c) to (16, c).
    fn gradient_of<T>(dy: &[T], c: usize, out: &mut [T]) {
        for l in (0..c).step_by(LANES) {
            let n = LANES.min(c - l);
            let zero = [T::ZERO; LANES];
            let mut rows = [[zero; 2]; 4];
            for x in 0..2 {
                let (a, b) = (load(dy, x * c + l, n), load(dy, (2 + x) * c + l, n));
                rows[0][x] = a;
                rows[1][x] = plus(a, b);
                rows[2][x] = minus(a, b);
                rows[3][x] = minus(zero, b);
            }
            for (y, [a, b]) in rows.into_iter().enumerate() {
                store(a, out, y * 4 * c + l, n);
                store(plus(a, b), out, (y * 4 + 1) * c + l, n);
                store(minus(a, b), out, (y * 4 + 2) * c + l, n);
                store(minus(zero, b), out, (y * 4 + 3) * c + l, n);
            }
        }
    }
}
