//! AVX2: products of two rows in 16 bits, which never saturate: 2 · 255 · 127 has 32 to sum up in. Bytes are widened when they are
//! woven, once for all windows that see them.

use super::sweep::Sweep;
use super::{BLOCK, Depthwise, Finish, WOVEN};
use crate::int8::product::avx2::finish;
use std::arch::x86_64::*;
use std::ops::Range;

/// Values of a woven column of a group.
const COLUMN: usize = BLOCK * WOVEN;

/// # Safety
/// The processor has the features; everything is as long as [`Depthwise::run`] asserts, and the scratch as it makes it.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn run(
    d: &Depthwise,
    x: &[u8],
    rows: Range<usize>,
    finish: &Finish,
    out: &mut [u8],
    scratch: &mut [u8],
) {
    let woven: *mut i16 = scratch.as_mut_ptr().cast();
    // SAFETY: the caller's promise; the weights are packed in words, and the scratch holds all woven columns.
    unsafe {
        d.sweeps(
            rows,
            finish,
            out,
            (woven.cast_const(), d.words.as_ptr(), COLUMN),
            |at, first| weave(d, &x[at..], first, woven),
            |sweep| match d.rows {
                4 => sums::<4>(sweep),
                2 => sums::<2>(sweep),
                _ => sums::<1>(sweep),
            },
        );
    }
}

/// The rows that output rows from `first` on see, woven: `[column][group][two rows, or the next two][BLOCK][2]` of 16 bits. `x`
/// begins at the block's first channel.
#[target_feature(enable = "avx2")]
unsafe fn weave(d: &Depthwise, x: &[u8], first: usize, woven: *mut i16) {
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
        for column in 0..columns {
            let inside = (left..right).contains(&column);
            // SAFETY: within the columns that the scratch holds; a row of the image has `g.w` positions, each a block from its
            // first channel on.
            unsafe {
                let four = sources.map(|row| match row {
                    Some(row) if inside => {
                        _mm_loadu_si128(row.add((column - left) * channels).cast())
                    }
                    _ => zeros,
                });
                let to = woven.add((column * d.groups + group) * COLUMN);
                for (pair, to) in [(0, to), (1, to.add(COLUMN / 2))] {
                    let (a, b) = (four[2 * pair], four[2 * pair + 1]);
                    let low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
                    let high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
                    _mm256_storeu_si256(to.cast(), low);
                    _mm256_storeu_si256(to.add(BLOCK).cast(), high);
                }
            }
        }
    }
}

/// `R` output rows.
#[target_feature(enable = "avx2")]
unsafe fn sums<const R: usize>(s: &Sweep<i16, i16>) {
    // SAFETY: weights of a block, woven columns, and rows of the output are there.
    unsafe {
        let start = s.finish.start.as_ptr().add(s.at);
        let start = [
            _mm256_loadu_si256(start.cast()),
            _mm256_loadu_si256(start.add(8).cast()),
        ];
        for column in 0..s.columns {
            let x = s.woven.add(column * s.step);
            let mut sums = [start; R];
            for k in 0..s.window {
                // Two rows of eight channels, of the next eight; then two more rows.
                let x =
                    [0, 1, 2, 3].map(|i| _mm256_loadu_si256(x.add(k * COLUMN + i * BLOCK).cast()));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let w = s.weights.add((k * R + r) * COLUMN);
                    for (i, x) in x.into_iter().enumerate() {
                        let w = _mm256_loadu_si256(w.add(i * BLOCK).cast());
                        sums[i % 2] = _mm256_add_epi32(sums[i % 2], _mm256_madd_epi16(x, w));
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
