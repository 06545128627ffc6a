//! Rows woven for products of four bytes.

use super::{BLOCK, Depthwise, WOVEN};
use std::arch::x86_64::*;

/// Bytes of a woven column of a group.
pub(super) const COLUMN: usize = BLOCK * WOVEN;

/// The rows that output rows from `first` on see, woven: `[column][group][BLOCK][WOVEN]`. `x` begins at the block's first channel.
///
/// # Safety
/// `x` and `woven` are as long as [`Depthwise::run`] asserts and makes them.
#[inline(always)]
pub(super) unsafe fn weave(d: &Depthwise, x: &[u8], first: usize, woven: *mut u8) {
    let (g, channels, columns) = (&d.g, d.blocks * BLOCK, d.columns());
    let left = g.p.padding[2].min(columns);
    let right = (left + g.w).min(columns);
    // SAFETY: every x86-64 processor has SSE2.
    let zeros = unsafe { _mm_set1_epi8(d.zero as i8) };
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
                to.write_bytes(d.zero, COLUMN);
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
