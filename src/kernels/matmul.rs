//! One matrix product over strided slices, on one thread. Threads are shared out above it, in pieces that do not depend on their
//! number, so that results do not either.

use crate::micro::{Product, SLACK, Span, panel, panels, product, vector};
use crate::outer::Outer;
use crate::real::Real;
use crate::simd::kernel;
use crate::transpose::{SIDE, turn};
use std::mem::MaybeUninit;

/// Depth of the blocks: a panel of `b` that deep, packed, stays in the first-level cache while all rows of `a` meet it.
const DEPTH: usize = 256;

/// Rows whose places are noted at once: whole blocks of every microkernel.
const ROWS: usize = 48;

/// A read-only matrix inside a slice: element (i, j) is `data[i * rows + j * cols]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    pub data: &'a [T],
    pub row_stride: usize,
    pub col_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Rows one after another, `row_stride` apart.
    pub fn rows(data: &'a [T], row_stride: usize) -> Self {
        Self {
            data,
            row_stride,
            col_stride: 1,
        }
    }

    /// The transpose of rows `row_stride` apart.
    pub fn transposed(data: &'a [T], row_stride: usize) -> Self {
        Self {
            data,
            row_stride: 1,
            col_stride: row_stride,
        }
    }

    fn check(&self, rows: usize, cols: usize) {
        if rows > 0 && cols > 0 {
            let last = (rows - 1) * self.row_stride + (cols - 1) * self.col_stride;
            assert!(
                last < self.data.len(),
                "matrix {rows}×{cols} beyond its {} values",
                self.data.len()
            );
        }
    }
}

/// `out[i * ld + j] (+)= Σ_k a(i, k) · b(k, j)` for i < m, j < n.
pub fn matmul<T: Real>(
    (m, n, k): (usize, usize, usize),
    a: Matrix<T>,
    b: Matrix<T>,
    out: &mut [T],
    ld: usize,
    accumulate: bool,
) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        (m - 1) * ld + n <= out.len(),
        "output {m}×{n} beyond its {} values",
        out.len()
    );
    // SAFETY: exactly the bounds that were asserted above, `out` being exclusive.
    unsafe { matmul_at((m, n, k), a, b, out.as_mut_ptr(), ld, accumulate) }
}

/// [`matmul`] into rows that other threads may be writing between.
///
/// # Safety
/// `out[i * ld + j]` must be valid and untouched by others for every i < m, j < n.
pub(crate) unsafe fn matmul_at<T: Real>(
    (m, n, k): (usize, usize, usize),
    a: Matrix<T>,
    b: Matrix<T>,
    out: *mut T,
    ld: usize,
    accumulate: bool,
) {
    a.check(m, k);
    b.check(k, n);
    if k == 0 {
        // Sums of nothing.
        for i in (0..m).filter(|_| !accumulate) {
            // SAFETY: a row of the result, by the caller's promise.
            unsafe { std::slice::from_raw_parts_mut(out.add(i * ld), n) }.fill(T::ZERO);
        }
        return;
    }
    if (a.row_stride, b.col_stride) == (1, 1) && a.col_stride > 1 {
        let outer = Outer {
            a: a.data,
            a_step: a.col_stride,
            b: b.data,
            b_step: b.row_stride,
            spans: &[Span { a: 0, b: 0 }],
            depth: k,
        };
        // SAFETY: the caller's promise.
        return unsafe { outer.tile((m, n), &[(0, 0)], 0..k, out, ld, accumulate) };
    }
    let mut packed = MaybeUninit::<[T; DEPTH * SLACK]>::uninit();
    let packed = packed.as_mut_ptr().cast::<T>();
    let room = DEPTH.min(k) * panel::<T>();
    // SAFETY: no panel is wider than the slack, and all bits zero are a value.
    let packed = unsafe {
        std::ptr::write_bytes(packed, 0, room);
        std::slice::from_raw_parts_mut(packed, room)
    };
    for (first, columns) in panels::<T>(n) {
        let width = columns.next_multiple_of(vector::<T>());
        for from in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - from);
            let packed = &mut packed[..depth * width];
            let at = from * b.row_stride + first * b.col_stride;
            pack(
                &b.data[at..],
                (b.row_stride, b.col_stride),
                columns,
                width,
                packed,
            );
            for i in (0..m).step_by(ROWS) {
                let rows = ROWS.min(m - i);
                let a_at: [usize; ROWS] = std::array::from_fn(|r| (i + r) * a.row_stride);
                let out_at: [usize; ROWS] = std::array::from_fn(|r| (i + r) * ld + first);
                let p = Product {
                    a: a.data[from * a.col_stride..].as_ptr(),
                    a_at: &a_at[..rows],
                    a_step: a.col_stride,
                    b: packed.as_ptr(),
                    b_step: width,
                    spans: &[Span { a: 0, b: 0 }],
                    depth,
                    out,
                    out_at: &out_at[..rows],
                    columns,
                    accumulate: accumulate || from > 0,
                    finish: None,
                };
                // SAFETY: `check` has bounded every read of `a`, rows of the panel are whole vectors, and the caller answers for
                // the writes.
                unsafe { product(&p) };
            }
        }
    }
}

kernel! {
    /// Writes `columns` columns of rows of `b`, by the distances between its rows and columns, as rows of `width` whose rest
    /// stays.
    fn pack<T>(b: &[T], steps: (usize, usize), columns: usize, width: usize, out: &mut [T]) {
        let depth = out.len() / width;
        if steps.1 == 1 {
            match (columns == width, width) {
                (true, 8) => copy_rows::<T, 8>(b, steps.0, out),
                (true, 16) => copy_rows::<T, 16>(b, steps.0, out),
                (true, 32) => copy_rows::<T, 32>(b, steps.0, out),
                (true, 48) => copy_rows::<T, 48>(b, steps.0, out),
                _ => {
                    for (k, out) in out.chunks_exact_mut(width).enumerate() {
                        out[..columns].copy_from_slice(&b[k * steps.0..][..columns]);
                    }
                }
            }
            return;
        }
        let (deep, wide) = if steps.0 == 1 { (depth / SIDE * SIDE, columns / SIDE * SIDE) } else { (0, 0) };
        for j in (0..wide).step_by(SIDE) {
            for k in (0..deep).step_by(SIDE) {
                turn::<T, FMA>(&b[k + j * steps.1..], steps.1, &mut out[k * width + j..], width);
            }
        }
        for j in 0..columns {
            let from = if j < wide { deep } else { 0 };
            for k in from..depth {
                out[k * width + j] = b[k * steps.0 + j * steps.1];
            }
        }
    }
}

/// Rows of `W` values, `step` apart: copied in registers, which a length known only at run time would not be.
#[inline(always)]
fn copy_rows<T: Real, const W: usize>(b: &[T], step: usize, out: &mut [T]) {
    for (k, out) in out.as_chunks_mut::<W>().0.iter_mut().enumerate() {
        out.copy_from_slice(&b[k * step..][..W]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_plain_sums_for_every_shape_and_stride() {
        // Whole numbers: every order of the sum gives the same.
        let values = |len: usize, k: usize| -> Vec<f32> {
            (0..len).map(|i| (i * k % 13) as f32 - 6.0).collect()
        };
        for (m, n, k) in [
            (1, 1, 1),
            (5, 3, 0),
            (7, 17, 9),
            (49, 33, 40),
            (13, 50, 2 * DEPTH + 5),
            (100, 7, DEPTH),
        ] {
            let (a, b) = (values(2 * m * k + k, 7), values(2 * n * k + n, 5));
            for (turned_a, turned_b, accumulate) in [
                (false, false, false),
                (true, false, true),
                (false, true, false),
                (true, true, true),
            ] {
                let matrix = |data, turned, rows, columns| {
                    if turned {
                        Matrix::transposed(data, rows)
                    } else {
                        Matrix::rows(data, columns + 1)
                    }
                };
                let (a, b) = (
                    matrix(&a[..], turned_a, m, k),
                    matrix(&b[..], turned_b, k, n),
                );
                let at = |m: &Matrix<f32>, i: usize, j: usize| {
                    m.data[i * m.row_stride + j * m.col_stride]
                };
                let mut out = values(m * (n + 2), 3);
                let mut expected = out.clone();
                for i in 0..m {
                    for j in 0..n {
                        let sum: f32 = (0..k).map(|l| at(&a, i, l) * at(&b, l, j)).sum();
                        let before = if accumulate {
                            expected[i * (n + 2) + j]
                        } else {
                            0.0
                        };
                        expected[i * (n + 2) + j] = before + sum;
                    }
                }
                matmul((m, n, k), a, b, &mut out, n + 2, accumulate);
                assert!(
                    out == expected,
                    "{m} {n} {k} {turned_a} {turned_b} {accumulate}"
                );
            }
        }
    }
}
