//! AVX-VNNI: as with AVX-512, in two halves.

use super::sweep::Sweep;
use super::weave::{COLUMN, weave};
use super::{Depthwise, Finish};
use crate::int8::product::avx2::finish;
use std::arch::x86_64::*;
use std::ops::Range;

/// # Safety
/// The processor has the features; everything is as long as [`Depthwise::run`] asserts, and the scratch as it makes it.
#[target_feature(enable = "avx2,avxvnni")]
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
            |sweep| match d.rows {
                4 => sums::<4>(sweep),
                2 => sums::<2>(sweep),
                _ => sums::<1>(sweep),
            },
        );
    }
}

/// `R` output rows.
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn sums<const R: usize>(s: &Sweep<u8, i8>) {
    // SAFETY: weights of a block, woven columns, and rows of the output are there.
    unsafe {
        let halves = |from: *const u8| {
            [
                _mm256_loadu_si256(from.cast()),
                _mm256_loadu_si256(from.add(COLUMN / 2).cast()),
            ]
        };
        let start = halves(s.finish.start.as_ptr().add(s.at).cast());
        for column in 0..s.columns {
            let x = s.woven.add(column * s.step);
            let mut sums = [start; R];
            for k in 0..s.window {
                let x = halves(x.add(k * COLUMN));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let w = halves(s.weights.add((k * R + r) * COLUMN).cast());
                    for (half, sum) in sums.iter_mut().enumerate() {
                        *sum = _mm256_dpbusd_avx_epi32(*sum, x[half], w[half]);
                    }
                }
            }
            for (r, sums) in sums.into_iter().enumerate() {
                if let Some(out) = s.place(r, column) {
                    finish(s.finish, s.at, sums, None, out);
                }
            }
        }
    }
}
