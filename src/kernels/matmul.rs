//! One matrix product over strided slices, on one thread. Threads are shared out above it, in pieces that do not depend on their
//! number, so that results do not either.

use crate::real::Real;

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
    let one = T::from_f64(1.0);
    // SAFETY: `check` has bounded every read; the caller answers for the writes.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            ld as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            one,
            one,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
