//! AVX-512 VNNI: four products a lane and instruction. A tile has 24 vectors of sums; a value of a row is read once for all of
//! its blocks, weights once for all of its rows.

use super::{BLOCK, Finish, Product, QUAD, Rows};
use std::arch::x86_64::*;

/// Bytes of rows that are gone through with all weights before the next ones: half of a first-level cache.
const CHUNK: usize = 24 << 10;

/// What a tile is of.
struct Tile<'a> {
    /// Weights of its first block; from one block to the next are `block` bytes.
    weights: *const i8,
    block: usize,
    quads: usize,
    stride: usize,
    finish: &'a Finish,
    /// The first channel.
    at: usize,
    channels: usize,
}

/// # Safety
/// The processor has the features; everything is as long as [`Product::run`] asserts.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn run(
    p: &Product,
    rows: Rows,
    finish: &Finish,
    added: Option<&[u8]>,
    out: &mut [u8],
) {
    let chunks = (rows.count * rows.stride).div_ceil(CHUNK);
    let chunks = chunks.clamp(1, rows.count.div_ceil(24));
    let channels = p.blocks * BLOCK;
    for i in 0..chunks {
        let (from, to) = (rows.count * i / chunks, rows.count * (i + 1) / chunks);
        // SAFETY: these rows are within those of the whole.
        unsafe {
            let values = rows.values.as_ptr().add(from * rows.stride);
            let added = added.map(|a| a.as_ptr().add(from * channels));
            let out = out.as_mut_ptr().add(from * channels);
            let mut block = 0;
            while block < p.blocks {
                let tile = Tile {
                    weights: p.weights.as_ptr().add(p.begins[block]),
                    block: p.begins[1],
                    quads: p.depth / QUAD,
                    stride: rows.stride,
                    finish,
                    at: block * BLOCK,
                    channels,
                };
                block += match p.blocks - block {
                    1 => tile.sweep::<12, 1>(values, added, out, to - from),
                    2 => tile.sweep::<12, 2>(values, added, out, to - from),
                    3 | 5 => tile.sweep::<8, 3>(values, added, out, to - from),
                    _ => tile.sweep::<6, 4>(values, added, out, to - from),
                };
            }
        }
    }
}

impl Tile<'_> {
    /// All rows of `B` blocks, `M` at a time; gives `B`.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn sweep<const M: usize, const B: usize>(
        &self,
        values: *const u8,
        added: Option<*const u8>,
        out: *mut u8,
        count: usize,
    ) -> usize {
        let mut row = 0;
        while row < count {
            // SAFETY: `M` rows, or one, from `row` on are there.
            unsafe {
                if row + M <= count {
                    self.rows::<M, B>(values, added, out, row);
                    row += M;
                } else if count >= M {
                    // The last ones once more, with the same bytes.
                    self.rows::<M, B>(values, added, out, count - M);
                    row = count;
                } else {
                    self.rows::<1, B>(values, added, out, row);
                    row += 1;
                }
            }
        }
        B
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn rows<const M: usize, const B: usize>(
        &self,
        values: *const u8,
        added: Option<*const u8>,
        out: *mut u8,
        row: usize,
    ) {
        let mut sums = [[_mm512_setzero_si512(); B]; M];
        // SAFETY: rows, weights and what follows are as long as the whole product asserts; a row has `4 · quads` values.
        unsafe {
            for b in 0..B {
                let start = self.finish.start.as_ptr().add(self.at + b * BLOCK);
                let start = _mm512_loadu_si512(start.cast());
                for sums in &mut sums {
                    sums[b] = start;
                }
            }
            let mut x = values.add(row * self.stride);
            let mut w = self.weights;
            for _ in 0..self.quads {
                let mut weights = [_mm512_setzero_si512(); B];
                for (b, weights) in weights.iter_mut().enumerate() {
                    *weights = _mm512_loadu_si512(w.add(b * self.block).cast());
                }
                for (m, sums) in sums.iter_mut().enumerate() {
                    let four = x.add(m * self.stride).cast::<i32>().read_unaligned();
                    let four = _mm512_set1_epi32(four);
                    for (sum, w) in sums.iter_mut().zip(weights) {
                        *sum = _mm512_dpbusd_epi32(*sum, four, w);
                    }
                }
                x = x.add(QUAD);
                w = w.add(BLOCK * QUAD);
            }
            // What follows is a loop, whose index would keep the sums in memory all the time.
            let mut kept = [[[0i32; BLOCK]; B]; M];
            for (m, sums) in sums.iter().enumerate() {
                for (b, sum) in sums.iter().enumerate() {
                    _mm512_storeu_si512(kept[m][b].as_mut_ptr().cast(), *sum);
                }
            }
            for b in 0..B {
                let at = self.at + b * BLOCK;
                for (m, kept) in kept.iter().enumerate() {
                    let place = (row + m) * self.channels + at;
                    let added = added.map(|a| a.add(place));
                    let sums = _mm512_loadu_si512(kept[b].as_ptr().cast());
                    finish(self.finish, at, sums, added, out.add(place));
                }
            }
        }
    }
}

/// The bytes of a block's sums.
///
/// # Safety
/// `BLOCK` bytes of `added` and `out` are there, and channels from `at` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(in crate::int8) unsafe fn finish(
    f: &Finish,
    at: usize,
    sums: __m512i,
    added: Option<*const u8>,
    out: *mut u8,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let scale = _mm512_loadu_ps(f.scale.as_ptr().add(at));
        let shift = _mm512_loadu_ps(f.shift.as_ptr().add(at));
        let mut v = _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale), shift);
        if let Some(added) = added {
            let x = _mm512_cvtepu8_epi32(_mm_loadu_si128(added.cast()));
            let x = _mm512_mul_ps(_mm512_cvtepi32_ps(x), _mm512_set1_ps(f.factor));
            v = _mm512_add_ps(v, x);
        }
        v = _mm512_max_ps(v, _mm512_set1_ps(f.low));
        v = _mm512_min_ps(v, _mm512_set1_ps(f.high));
        let bytes = _mm512_cvtusepi32_epi8(_mm512_cvtps_epi32(v));
        _mm_storeu_si128(out.cast(), bytes);
    }
}
