//! The innermost matrix product: a few rows times a panel of columns, held in registers.
//!
//! Every product of a convolution or linear layer over channels-last data is of the form
//! out(i, j) = Σ_s Σ_k a(i, s, k) · b(s, k, j): forward with i a position and j an output channel, the input's gradient with j an
//! input channel, the weight's gradient with i an output channel and k a position. Rows of `b` are contiguous; elements of `a`
//! are broadcast, so `a` is read where it lies and only `b` is packed, where its rows are not near each other.

use crate::real::Real;
use crate::simd::{Isa, LANES, isa};
use std::any::TypeId;

/// Values behind the end of every buffer that a kernel may read (and ignore): the widest panel of all instruction sets.
pub(crate) const SLACK: usize = 3 * LANES;

/// One span of the sum: where it starts, relative to the rows of `a` and to `b`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub a: usize,
    pub b: usize,
}

/// What one call computes: for each row, a panel of columns.
pub struct Product<'a, T> {
    pub a: *const T,
    /// Where each row of `a` begins.
    pub a_at: &'a [usize],
    /// From one element of a row to the next.
    pub a_step: usize,
    /// First row of `b`.
    pub b: *const T,
    /// From one row of `b` to the next.
    pub b_step: usize,
    /// The spans of the sum, each `depth` long.
    pub spans: &'a [Span],
    pub depth: usize,
    pub out: *mut T,
    /// Where each row of the result begins; as many as rows of `a`.
    pub out_at: &'a [usize],
    /// Columns, at most [`panel`].
    pub columns: usize,
    /// Whether to add to what the result holds.
    pub accumulate: bool,
    /// What is done to each sum before it is written.
    pub finish: Option<Finish<T>>,
}

/// v := clamp(v · scale + shift), one scale and shift a column.
#[derive(Clone, Copy)]
pub struct Finish<T> {
    pub scale: *const T,
    pub shift: *const T,
    pub bounds: (T, T),
}

/// Values in one vector of the product.
pub(crate) fn vector<T: Real>() -> usize {
    match isa() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 if T::WIDE => 8,
        _ => LANES,
    }
}

/// Vectors in the widest panel: with AVX2 a tile of 6 rows × 2 vectors and what it is made from take 15 of the 16 registers, with
/// AVX-512 one of 8 × 3 takes 28 of 32.
fn widest<T: Real>() -> usize {
    match isa() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 if T::WIDE => 2,
        _ => 3,
    }
}

/// Rows of the result that are computed at once.
pub(crate) fn tile_rows<T: Real>() -> usize {
    match isa() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 if T::WIDE => 8,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 if T::WIDE => 6,
        _ => TILE.0,
    }
}

/// Columns in the widest panel.
pub(crate) fn panel<T: Real>() -> usize {
    widest::<T>() * vector::<T>()
}

/// Cuts `n` columns into panels of like width, each (first column, columns).
pub(crate) fn panels<T: Real>(n: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let lanes = vector::<T>();
    let vectors = n.div_ceil(lanes);
    let count = vectors.div_ceil(widest::<T>());
    let bound = move |i: usize| (vectors * i / count * lanes).min(n);
    (0..count).map(move |i| (bound(i), bound(i + 1) - bound(i)))
}

/// Rows of a tile with AVX-512, so that the fewest are computed of so many: the 49 of a map of 7 × 7 are seven tiles of 7, where
/// tiles of 8 would compute 56. With AVX2 tiles of fewer rows than 6 gain nothing.
#[cfg(target_arch = "x86_64")]
fn height(rows: usize) -> usize {
    let computed = |height: &usize| rows.next_multiple_of(*height);
    [8, 7, 6].into_iter().min_by_key(computed).unwrap_or(8)
}

macro_rules! vector_product {
    ($name:ident, $feature:literal, $t:ty, $lanes:literal,
     $load:path, $store:path, $splat:path, $zero:path, $fma:path, $max:path, $min:path) => {
        /// # Safety
        /// The processor must have the instruction set, and the operands must be as in [`product`](super::product).
        #[target_feature(enable = $feature)]
        unsafe fn $name<const R: usize, const V: usize>(p: &Product<$t>) {
            // SAFETY: all addresses are inside what the caller vouches for: V vectors of `b`, of scale and of shift, and
            // `columns` values of `out`, the last vector being completed in a local array.
            unsafe {
                let partial = p.columns % $lanes;
                for (a_at, out_at) in p.a_at.chunks(R).zip(p.out_at.chunks(R)) {
                    // A short last block repeats its last row: the same sums, from the same values, written to the same place.
                    let row = |m: usize| if m < a_at.len() { m } else { a_at.len() - 1 };
                    let a: [*const $t; R] =
                        std::array::from_fn(|m| p.a.add(*a_at.get_unchecked(row(m))));
                    let out: [*mut $t; R] =
                        std::array::from_fn(|m| p.out.add(*out_at.get_unchecked(row(m))));
                    let mut acc = [[$zero(); V]; R];
                    if p.accumulate {
                        for m in 0..R {
                            for v in 0..V {
                                acc[m][v] = if v + 1 == V && partial > 0 {
                                    let mut last = [0.0; $lanes];
                                    std::ptr::copy_nonoverlapping(
                                        out[m].add(v * $lanes),
                                        last.as_mut_ptr(),
                                        partial,
                                    );
                                    $load(last.as_ptr())
                                } else {
                                    $load(out[m].add(v * $lanes))
                                };
                            }
                        }
                    }
                    for s in p.spans {
                        let mut b = p.b.add(s.b);
                        let mut at = s.a;
                        for _ in 0..p.depth {
                            let mut columns = [$zero(); V];
                            for v in 0..V {
                                columns[v] = $load(b.add(v * $lanes));
                            }
                            for m in 0..R {
                                let value = $splat(*a[m].add(at));
                                for v in 0..V {
                                    acc[m][v] = $fma(value, columns[v], acc[m][v]);
                                }
                            }
                            b = b.wrapping_add(p.b_step);
                            at += p.a_step;
                        }
                    }
                    if let Some(finish) = p.finish {
                        let (low, high) = ($splat(finish.bounds.0), $splat(finish.bounds.1));
                        for v in 0..V {
                            let scale = $load(finish.scale.add(v * $lanes));
                            let shift = $load(finish.shift.add(v * $lanes));
                            for m in 0..R {
                                // The value stands second: a NaN stays a NaN.
                                acc[m][v] = $min(high, $max(low, $fma(acc[m][v], scale, shift)));
                            }
                        }
                    }
                    for m in 0..R {
                        for v in 0..V {
                            let out = out[m].add(v * $lanes);
                            if v + 1 == V && partial > 0 {
                                let mut last = [0.0; $lanes];
                                $store(last.as_mut_ptr(), acc[m][v]);
                                std::ptr::copy_nonoverlapping(last.as_ptr(), out, partial);
                            } else {
                                $store(out, acc[m][v]);
                            }
                        }
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Product, height};
    use std::arch::x86_64::{
        _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_min_ps, _mm256_set1_ps,
        _mm256_setzero_ps, _mm256_storeu_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_max_ps,
        _mm512_min_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    };

    vector_product!(
        wide,
        "avx512f",
        f32,
        16,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_setzero_ps,
        _mm512_fmadd_ps,
        _mm512_max_ps,
        _mm512_min_ps
    );
    vector_product!(
        narrow,
        "avx2,fma",
        f32,
        8,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_setzero_ps,
        _mm256_fmadd_ps,
        _mm256_max_ps,
        _mm256_min_ps
    );

    /// # Safety
    /// As `wide`, with AVX-512 F.
    pub(super) unsafe fn avx512(p: &Product<f32>) {
        // SAFETY: the caller's promise.
        unsafe {
            match (height(p.a_at.len()), p.columns.div_ceil(16)) {
                (8, 1) => wide::<8, 1>(p),
                (8, 2) => wide::<8, 2>(p),
                (8, _) => wide::<8, 3>(p),
                (7, 1) => wide::<7, 1>(p),
                (7, 2) => wide::<7, 2>(p),
                (7, _) => wide::<7, 3>(p),
                (_, 1) => wide::<6, 1>(p),
                (_, 2) => wide::<6, 2>(p),
                _ => wide::<6, 3>(p),
            }
        }
    }

    /// # Safety
    /// As `narrow`, with AVX2 and FMA.
    pub(super) unsafe fn avx2(p: &Product<f32>) {
        // SAFETY: the caller's promise.
        unsafe {
            match p.columns.div_ceil(8) {
                1 => narrow::<6, 1>(p),
                _ => narrow::<6, 2>(p),
            }
        }
    }
}

/// Rows and columns of the portable tile: its sums take eight registers of 128 bits, as every processor has them.
const TILE: (usize, usize) = (4, 8);

/// In plain code, for every type and processor.
///
/// # Safety
/// As [`product`].
unsafe fn portable<T: Real>(p: &Product<T>) {
    for (a_at, out_at) in p.a_at.chunks(TILE.0).zip(p.out_at.chunks(TILE.0)) {
        for first in (0..p.columns).step_by(TILE.1) {
            // SAFETY: the caller's promise, for some of the rows and columns.
            unsafe { tile(p, a_at, out_at, first) };
        }
    }
}

/// The columns from `first` on of at most [`TILE`] rows.
///
/// # Safety
/// As [`product`]; `first` must be less than `columns`.
unsafe fn tile<T: Real>(p: &Product<T>, a_at: &[usize], out_at: &[usize], first: usize) {
    let columns = TILE.1.min(p.columns - first);
    let mut acc = [[T::ZERO; TILE.1]; TILE.0];
    if p.accumulate {
        for (acc, at) in acc.iter_mut().zip(out_at) {
            // SAFETY: readable by the caller's promise.
            let out = unsafe { std::slice::from_raw_parts(p.out.add(at + first), columns) };
            acc[..columns].copy_from_slice(out);
        }
    }
    // A short block repeats its last row, whose sums are not written.
    let a: [usize; TILE.0] = std::array::from_fn(|m| a_at[m.min(a_at.len() - 1)]);
    for s in p.spans {
        for k in 0..p.depth {
            // SAFETY: readable by the caller's promise, a vector being no shorter than a tile.
            let b = unsafe { *p.b.add(s.b + k * p.b_step + first).cast::<[T; TILE.1]>() };
            for (acc, a) in acc.iter_mut().zip(a) {
                // SAFETY: readable by the caller's promise.
                let value = unsafe { *p.a.add(a + s.a + k * p.a_step) };
                for (acc, b) in acc.iter_mut().zip(b) {
                    *acc += value * b;
                }
            }
        }
    }
    if let Some(finish) = p.finish {
        let (low, high) = finish.bounds;
        for j in 0..columns {
            // SAFETY: readable by the caller's promise.
            let (scale, shift) =
                unsafe { (*finish.scale.add(first + j), *finish.shift.add(first + j)) };
            for acc in &mut acc {
                let v = acc[j] * scale + shift;
                let v = if v < low { low } else { v };
                acc[j] = if v > high { high } else { v };
            }
        }
    }
    for (acc, at) in acc.iter().zip(out_at) {
        // SAFETY: writable and nobody else's by the caller's promise.
        let out = unsafe { std::slice::from_raw_parts_mut(p.out.add(at + first), columns) };
        out.copy_from_slice(&acc[..columns]);
    }
}

/// Computes the product.
///
/// # Safety
/// For every row, span and k below `depth`, `a + a_at[row] + span.a + k · a_step` must be readable, and whole vectors of
/// [`vector`] values, as many as hold `columns`, from `b + span.b + k · b_step`, from `scale` and from `shift`; `out_at` must
/// be as long as `a_at`, `columns` values from each `out + out_at[row]` must be writable, and no other thread may use them.
pub(crate) unsafe fn product<T: Real>(p: &Product<T>) {
    assert!((1..=panel::<T>()).contains(&p.columns));
    #[cfg(target_arch = "x86_64")]
    if TypeId::of::<T>() == TypeId::of::<f32>() {
        // SAFETY: T is `f32`, as was just seen.
        let p = unsafe { &*std::ptr::from_ref(p).cast::<Product<f32>>() };
        match isa() {
            // SAFETY: the caller's promise; the instruction set was found on this processor.
            Isa::Avx512 => return unsafe { x86::avx512(p) },
            // SAFETY: as above.
            Isa::Avx2 => return unsafe { x86::avx2(p) },
            Isa::Portable => {}
        }
    }
    // SAFETY: the caller's promise.
    unsafe { portable(p) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_sums_of_plain_loops() {
        type Kernel = unsafe fn(&Product<f32>);
        let mut kernels: Vec<(&str, usize, Kernel)> =
            vec![("portable", 3 * LANES, portable::<f32>)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                kernels.push(("avx512", 3 * 16, x86::avx512));
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                kernels.push(("avx2", 2 * 8, x86::avx2));
            }
        }
        let (depth, b_step) = (5, 61);
        let spans = [Span { a: 0, b: 0 }, Span { a: 7, b: 400 }];
        let a: Vec<f32> = (0..20 * 40).map(|i| (i * 7 % 13) as f32 - 6.0).collect();
        let b: Vec<f32> = (0..900).map(|i| (i * 5 % 11) as f32 - 5.0).collect();
        let scale: Vec<f32> = (0..SLACK).map(|i| (i % 3) as f32 - 1.0).collect();
        let shift: Vec<f32> = (0..SLACK).map(|i| (i % 5) as f32).collect();
        for (name, most, kernel) in kernels {
            for columns in 1..=most {
                for (accumulate, finish, rows) in [
                    (false, false, 8),
                    (true, false, 8),
                    (true, true, 5),
                    (true, true, 14),
                    (true, false, 4),
                    (false, true, 17),
                    (true, false, 1),
                ] {
                    // Whole numbers: every order of the sum gives the same.
                    let mut out: Vec<f32> = (0..20 * 64).map(|i| (i % 100) as f32).collect();
                    let mut expected = out.clone();
                    for (i, row) in expected.chunks_mut(64).take(rows).enumerate() {
                        for (j, v) in row[..columns].iter_mut().enumerate() {
                            let mut sum = if accumulate { *v } else { 0.0 };
                            for s in &spans {
                                for k in 0..depth {
                                    sum += a[i * 40 + s.a + 2 * k] * b[s.b + k * b_step + j];
                                }
                            }
                            *v = if finish {
                                (sum * scale[j] + shift[j]).clamp(-3.0, 60.0)
                            } else {
                                sum
                            };
                        }
                    }
                    let a_at: Vec<usize> = (0..rows).map(|i| i * 40).collect();
                    let out_at: Vec<usize> = (0..rows).map(|i| i * 64).collect();
                    let p = Product {
                        a: a.as_ptr(),
                        a_at: &a_at,
                        a_step: 2,
                        b: b.as_ptr(),
                        b_step,
                        spans: &spans,
                        depth,
                        out: out.as_mut_ptr(),
                        out_at: &out_at,
                        columns,
                        accumulate,
                        finish: finish.then_some(Finish {
                            scale: scale.as_ptr(),
                            shift: shift.as_ptr(),
                            bounds: (-3.0, 60.0),
                        }),
                    };
                    // SAFETY: all offsets lie inside the vectors above, those of `b` with room for a panel.
                    unsafe { kernel(&p) };
                    assert_eq!(
                        out, expected,
                        "{name} {columns} {accumulate} {finish} {rows}"
                    );
                }
            }
        }
    }
}
