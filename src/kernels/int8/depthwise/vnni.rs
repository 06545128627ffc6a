//! AVX-512 VNNI: a product is four rows of one column of sixteen channels.

use super::sweep::Sweep;
use super::weave::{COLUMN, weave};
use super::{Depthwise, Finish};
use crate::int8::product::vnni::finish;
use std::arch::x86_64::*;
use std::ops::Range;

/// # Safety
/// The processor has the features; everything is as long as [`Depthwise::run`] asserts, and the scratch as it makes it.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn run(
    d: &Depthwise,
    x: &[u8],
    rows: Range<usize>,
    finish: &Finish,
    out: &mut [u8],
    scratch: &mut [u8],
) {
    let woven = scratch.as_mut_ptr();
    // SAFETY: the caller's promise; the weights are packed in bytes, and the scratch holds all woven columns.
    unsafe {
        d.sweeps(
            rows,
            finish,
            out,
            (woven.cast_const(), d.bytes.as_ptr(), COLUMN),
            |at, first| weave(d, &x[at..], first, woven),
            |sweep| match (d.rows, d.g.kw, d.groups) {
                (2, 3, 1) => fixed::<2, 3>(sweep),
                (1, 3, 1) => fixed::<1, 3>(sweep),
                (4, 5, 2) => fixed::<4, 10>(sweep),
                (2, 5, 2) => fixed::<2, 10>(sweep),
                (4, ..) => any::<4>(sweep),
                (2, ..) => any::<2>(sweep),
                _ => any::<1>(sweep),
            },
        );
    }
}

/// `R` output rows, windows of `K` woven columns: weights stay in registers where there are enough.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn fixed<const R: usize, const K: usize>(s: &Sweep<u8, i8>) {
    // SAFETY: weights of a block, and woven columns, are there.
    unsafe {
        let mut weights = [[_mm512_setzero_si512(); R]; K];
        for (k, weights) in weights.iter_mut().enumerate() {
            for (r, weights) in weights.iter_mut().enumerate() {
                let at = s.weights.add((k * R + r) * COLUMN);
                *weights = _mm512_loadu_si512(at.cast());
            }
        }
        let start = _mm512_loadu_si512(s.finish.start.as_ptr().add(s.at).cast());
        for column in 0..s.columns {
            let x = s.woven.add(column * s.step);
            let mut sums = [start; R];
            for (k, weights) in weights.iter().enumerate() {
                let x = _mm512_loadu_si512(x.add(k * COLUMN).cast());
                for (sum, w) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_dpbusd_epi32(*sum, x, *w);
                }
            }
            write(s, column, sums);
        }
    }
}

/// The same of windows of any size.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn any<const R: usize>(s: &Sweep<u8, i8>) {
    // SAFETY: as in `fixed`.
    unsafe {
        let start = _mm512_loadu_si512(s.finish.start.as_ptr().add(s.at).cast());
        for column in 0..s.columns {
            let x = s.woven.add(column * s.step);
            let mut sums = [start; R];
            for k in 0..s.window {
                let x = _mm512_loadu_si512(x.add(k * COLUMN).cast());
                for (r, sum) in sums.iter_mut().enumerate() {
                    let w = s.weights.add((k * R + r) * COLUMN);
                    *sum = _mm512_dpbusd_epi32(*sum, x, _mm512_loadu_si512(w.cast()));
                }
            }
            write(s, column, sums);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn write<const R: usize>(s: &Sweep<u8, i8>, column: usize, sums: [__m512i; R]) {
    for (r, sums) in sums.into_iter().enumerate() {
        // SAFETY: one of the columns; a row of the output that is there.
        unsafe {
            if let Some(out) = s.place(r, column) {
                finish(s.finish, s.at, sums, None, out);
            }
        }
    }
}
