//! AVX-512 VNNI: a product is four rows of one column of sixteen channels.

use super::{BLOCK, Depthwise, Finish, WOVEN};
use crate::int8::product::vnni::finish;
use std::arch::x86_64::*;
use std::ops::Range;

/// Bytes of a woven column of a group.
const COLUMN: usize = BLOCK * WOVEN;

/// What is swept over: woven rows of a block and what becomes of them.
struct Sweep<'a> {
    woven: *const u8,
    weights: *const i8,
    finish: &'a Finish,
    /// The first channel.
    at: usize,
    columns: usize,
    /// From one output column's window to the next, in woven columns.
    step: usize,
    /// Of the first row; the rows there are, and the bytes of a row and of a position.
    out: *mut u8,
    rows: usize,
    row: usize,
    position: usize,
}

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
    let (g, channels) = (&d.g, d.blocks * BLOCK);
    let block_weights = g.kw * d.groups * d.rows * COLUMN;
    for first in rows.clone().step_by(d.rows) {
        for block in 0..d.blocks {
            let at = block * BLOCK;
            // SAFETY: the scratch holds all columns; blocks and rows are those of the map and of its kernels.
            unsafe {
                weave(d, &x[at..], first, scratch.as_mut_ptr());
                let place = (first - rows.start) * g.ow * channels + at;
                let sweep = Sweep {
                    woven: scratch.as_ptr(),
                    weights: d.bytes.as_ptr().add(block * block_weights),
                    finish,
                    at,
                    columns: g.ow,
                    step: g.p.stride.1 * d.groups * COLUMN,
                    out: out.as_mut_ptr().add(place),
                    rows: d.rows.min(rows.end - first),
                    row: g.ow * channels,
                    position: channels,
                };
                match (d.rows, g.kw, d.groups) {
                    (2, 3, 1) => sweep.fixed::<2, 3>(),
                    (1, 3, 1) => sweep.fixed::<1, 3>(),
                    (4, 5, 2) => sweep.fixed::<4, 10>(),
                    (2, 5, 2) => sweep.fixed::<2, 10>(),
                    (4, ..) => sweep.any::<4>(g.kw * d.groups),
                    (2, ..) => sweep.any::<2>(g.kw * d.groups),
                    _ => sweep.any::<1>(g.kw * d.groups),
                }
            }
        }
    }
}

/// The rows that output rows from `first` on see, woven: `[column][group][BLOCK][WOVEN]`. `x` begins at the block's first channel.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn weave(d: &Depthwise, x: &[u8], first: usize, woven: *mut u8) {
    let (g, channels, columns) = (&d.g, d.blocks * BLOCK, d.columns());
    let left = g.p.padding[2].min(columns);
    let right = (left + g.w).min(columns);
    let zeros = _mm_set1_epi8(d.zero as i8);
    let seen = (d.rows - 1) * g.p.stride.0 + g.kh;
    for group in 0..d.groups {
        let sources = [0, 1, 2, 3].map(|i| {
            let woven = group * WOVEN + i;
            let row = (woven < seen).then(|| d.source(first, woven)).flatten();
            row.map(|row| x[row * g.w * channels..].as_ptr())
        });
        for column in (0..left).chain(right..columns) {
            // SAFETY: within the columns that the scratch holds.
            unsafe {
                let to = woven.add((column * d.groups + group) * COLUMN);
                _mm512_storeu_si512(to.cast(), _mm512_set1_epi8(d.zero as i8));
            }
        }
        for column in left..right {
            // SAFETY: as above; a row of the image has `g.w` positions, each a block from its first channel on.
            unsafe {
                let place = (column - left) * channels;
                let [a, b, c, e] = sources.map(|row| match row {
                    Some(row) => _mm_loadu_si128(row.add(place).cast()),
                    None => zeros,
                });
                let (low, high) = (_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b));
                let (low2, high2) = (_mm_unpacklo_epi8(c, e), _mm_unpackhi_epi8(c, e));
                let to: *mut __m128i = woven.add((column * d.groups + group) * COLUMN).cast();
                _mm_storeu_si128(to, _mm_unpacklo_epi16(low, low2));
                _mm_storeu_si128(to.add(1), _mm_unpackhi_epi16(low, low2));
                _mm_storeu_si128(to.add(2), _mm_unpacklo_epi16(high, high2));
                _mm_storeu_si128(to.add(3), _mm_unpackhi_epi16(high, high2));
            }
        }
    }
}

impl Sweep<'_> {
    /// `R` output rows, windows of `K` woven columns: weights stay in registers where there are enough.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn fixed<const R: usize, const K: usize>(&self) {
        // SAFETY: weights of a block, and woven columns, are there.
        unsafe {
            let mut weights = [[_mm512_setzero_si512(); R]; K];
            for (k, weights) in weights.iter_mut().enumerate() {
                for (r, weights) in weights.iter_mut().enumerate() {
                    let at = self.weights.add((k * R + r) * COLUMN);
                    *weights = _mm512_loadu_si512(at.cast());
                }
            }
            let start = _mm512_loadu_si512(self.finish.start.as_ptr().add(self.at).cast());
            for column in 0..self.columns {
                let x = self.woven.add(column * self.step);
                let mut sums = [start; R];
                for (k, weights) in weights.iter().enumerate() {
                    let x = _mm512_loadu_si512(x.add(k * COLUMN).cast());
                    for (sum, w) in sums.iter_mut().zip(weights) {
                        *sum = _mm512_dpbusd_epi32(*sum, x, *w);
                    }
                }
                self.write(column, sums);
            }
        }
    }

    /// The same of windows of any size.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn any<const R: usize>(&self, window: usize) {
        // SAFETY: as in `fixed`.
        unsafe {
            let start = _mm512_loadu_si512(self.finish.start.as_ptr().add(self.at).cast());
            for column in 0..self.columns {
                let x = self.woven.add(column * self.step);
                let mut sums = [start; R];
                for k in 0..window {
                    let x = _mm512_loadu_si512(x.add(k * COLUMN).cast());
                    for (r, sum) in sums.iter_mut().enumerate() {
                        let w = self.weights.add((k * R + r) * COLUMN);
                        *sum = _mm512_dpbusd_epi32(*sum, x, _mm512_loadu_si512(w.cast()));
                    }
                }
                self.write(column, sums);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn write<const R: usize>(&self, column: usize, sums: [__m512i; R]) {
        for (r, sums) in sums.into_iter().enumerate() {
            if r < self.rows {
                // SAFETY: a row of the output that is there.
                unsafe {
                    let out = self.out.add(r * self.row + column * self.position);
                    finish(self.finish, self.at, sums, None, out);
                }
            }
        }
    }
}
