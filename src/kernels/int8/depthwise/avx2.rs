//! AVX2: products of two rows in 16 bits, which never saturate: 2 · 255 · 127 has 32 to sum up in. Bytes are widened when they are
//! woven, once for all windows that see them.

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
    let (g, channels) = (&d.g, d.blocks * BLOCK);
    let window = g.kw * d.groups;
    let block_weights = window * d.rows * COLUMN;
    for first in rows.clone().step_by(d.rows) {
        for block in 0..d.blocks {
            let at = block * BLOCK;
            // SAFETY: the scratch holds all columns; blocks and rows are those of the map and of its kernels.
            unsafe {
                weave(d, &x[at..], first, scratch.as_mut_ptr().cast());
                let place = (first - rows.start) * g.ow * channels + at;
                let sweep = Sweep {
                    woven: scratch.as_ptr().cast(),
                    weights: d.words.as_ptr().add(block * block_weights),
                    window,
                    finish,
                    at,
                    columns: g.ow,
                    step: g.p.stride.1 * d.groups * COLUMN,
                    out: out.as_mut_ptr().add(place),
                    rows: d.rows.min(rows.end - first),
                    row: g.ow * channels,
                    position: channels,
                };
                match d.rows {
                    4 => sweep.run::<4>(),
                    2 => sweep.run::<2>(),
                    _ => sweep.run::<1>(),
                }
            }
        }
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

/// What is swept over: woven rows of a block and what becomes of them.
struct Sweep<'a> {
    woven: *const i16,
    weights: *const i16,
    /// Woven columns of a window.
    window: usize,
    finish: &'a Finish,
    /// The first channel.
    at: usize,
    columns: usize,
    /// From one output column's window to the next, in values.
    step: usize,
    /// Of the first row; the rows there are, and the bytes of a row and of a position.
    out: *mut u8,
    rows: usize,
    row: usize,
    position: usize,
}

impl Sweep<'_> {
    /// `R` output rows.
    #[target_feature(enable = "avx2")]
    unsafe fn run<const R: usize>(&self) {
        // SAFETY: weights of a block, woven columns, and rows of the output are there.
        unsafe {
            let start = self.finish.start.as_ptr().add(self.at);
            let start = [
                _mm256_loadu_si256(start.cast()),
                _mm256_loadu_si256(start.add(8).cast()),
            ];
            for column in 0..self.columns {
                let x = self.woven.add(column * self.step);
                let mut sums = [start; R];
                for k in 0..self.window {
                    // Two rows of eight channels, of the next eight; then two more rows.
                    let x = [0, 1, 2, 3]
                        .map(|i| _mm256_loadu_si256(x.add(k * COLUMN + i * BLOCK).cast()));
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let w = self.weights.add((k * R + r) * COLUMN);
                        for (i, x) in x.into_iter().enumerate() {
                            let w = _mm256_loadu_si256(w.add(i * BLOCK).cast());
                            sums[i % 2] = _mm256_add_epi32(sums[i % 2], _mm256_madd_epi16(x, w));
                        }
                    }
                }
                for (r, sums) in sums.into_iter().enumerate() {
                    if r < self.rows {
                        let out = self.out.add(r * self.row + column * self.position);
                        finish(self.finish, self.at, sums, None, out);
                    }
                }
            }
        }
    }
}
