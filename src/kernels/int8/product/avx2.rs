//! Registers of 256 bits: with AVX2 alone `vpmaddubsw`, exact by the way weights are packed, and `vpmaddwd`; with AVX-VNNI
//! `vpdpbusd`. A tile is five rows of one block: ten registers of sums, and of weights, a value and ones those that are left.

use super::{BLOCK, Finish, Path, Product, QUAD, Rows};
use std::arch::x86_64::*;

/// Bytes of rows that are gone through with all weights before the next ones: half of a first-level cache.
const CHUNK: usize = 16 << 10;

/// Rows of a tile.
const ROWS: usize = 5;

/// # Safety
/// The processor has the features; everything is as long as [`Product::run`] asserts.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn run(
    p: &Product,
    rows: Rows,
    finish: &Finish,
    added: Option<&[u8]>,
    out: &mut [u8],
) {
    let channels = p.blocks * BLOCK;
    let chunks = (rows.count * rows.stride).div_ceil(CHUNK);
    let chunks = chunks.clamp(1, rows.count.div_ceil(2 * ROWS));
    for i in 0..chunks {
        let (from, to) = (rows.count * i / chunks, rows.count * (i + 1) / chunks);
        for block in 0..p.blocks {
            let quads = BLOCK * QUAD;
            let (begin, end) = (p.begins[block], p.begins[block + 1]);
            let places = &p.places[begin / quads..end / quads];
            let weights = &p.weights[begin..end];
            let mut row = from;
            while row < to {
                // SAFETY: `ROWS` rows, or one, from `row` on are there, and places are within a row.
                unsafe {
                    let tile = |row: usize| {
                        let at = row * channels + block * BLOCK;
                        let added = added.map(|a| a.as_ptr().add(at));
                        (rows.values.as_ptr().add(row * rows.stride), added, at)
                    };
                    let step = if to - from >= ROWS { ROWS } else { 1 };
                    // The last ones once more, with the same bytes.
                    let first = if step > 1 { row.min(to - ROWS) } else { row };
                    let (values, added, at) = tile(first);
                    let out = out.as_mut_ptr().add(at);
                    let sizes = (rows.stride, channels);
                    let of = (places, weights, finish, block * BLOCK);
                    match (p.path, step) {
                        (Path::AvxVnni, ROWS) => vnni::<ROWS>(of, sizes, values, added, out),
                        (Path::AvxVnni, _) => vnni::<1>(of, sizes, values, added, out),
                        (_, ROWS) => bytes::<ROWS>(of, sizes, values, added, out),
                        _ => bytes::<1>(of, sizes, values, added, out),
                    }
                    row += step;
                }
            }
        }
    }
}

macro_rules! tile {
    ($name:ident, $features:literal, $dot:expr) => {
        /// `M` rows of a block: where its weights read in a row, the weights, what follows, and the first channel; from a row to
        /// the next in what is read and in what is written.
        #[target_feature(enable = $features)]
        unsafe fn $name<const M: usize>(
            (places, weights, f, at): (&[u32], &[i8], &Finish, usize),
            (stride, channels): (usize, usize),
            values: *const u8,
            added: Option<*const u8>,
            out: *mut u8,
        ) {
            // SAFETY: the caller's promise.
            unsafe {
                let start = f.start.as_ptr().add(at);
                let start = [
                    _mm256_loadu_si256(start.cast()),
                    _mm256_loadu_si256(start.add(8).cast()),
                ];
                let mut sums = [start; M];
                let mut w = weights.as_ptr();
                for place in places {
                    let x = values.add(*place as usize);
                    let halves = [
                        _mm256_loadu_si256(w.cast()),
                        _mm256_loadu_si256(w.add(32).cast()),
                    ];
                    for (m, sums) in sums.iter_mut().enumerate() {
                        let four = x.add(m * stride).cast::<i32>().read_unaligned();
                        let four = _mm256_set1_epi32(four);
                        for (sum, w) in sums.iter_mut().zip(halves) {
                            *sum = $dot(*sum, four, w);
                        }
                    }
                    w = w.add(BLOCK * QUAD);
                }
                // What follows is a loop, whose index would keep the sums in memory all the time.
                let mut kept = [[[0i32; BLOCK / 2]; 2]; M];
                for (m, sums) in sums.iter().enumerate() {
                    for (half, sum) in sums.iter().enumerate() {
                        _mm256_storeu_si256(kept[m][half].as_mut_ptr().cast(), *sum);
                    }
                }
                for (m, kept) in kept.iter().enumerate() {
                    let sums = kept
                        .each_ref()
                        .map(|k| _mm256_loadu_si256(k.as_ptr().cast()));
                    let added = added.map(|a| a.add(m * channels));
                    finish(f, at, sums, added, out.add(m * channels));
                }
            }
        }
    };
}

tile!(bytes, "avx2", |sum, four, w| {
    let pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(four, w), _mm256_set1_epi16(1));
    _mm256_add_epi32(sum, pairs)
});
tile!(vnni, "avx2,avxvnni", |sum, four, w| {
    _mm256_dpbusd_avx_epi32(sum, four, w)
});

/// The bytes of a block's sums.
///
/// # Safety
/// `BLOCK` bytes of `added` and `out` are there, and channels from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::int8) unsafe fn finish(
    f: &Finish,
    at: usize,
    sums: [__m256i; 2],
    added: Option<*const u8>,
    out: *mut u8,
) {
    let mut whole = [_mm256_setzero_si256(); 2];
    // SAFETY: the caller's promise.
    unsafe {
        for (half, sums) in sums.into_iter().enumerate() {
            let scale = _mm256_loadu_ps(f.scale.as_ptr().add(at + 8 * half));
            let shift = _mm256_loadu_ps(f.shift.as_ptr().add(at + 8 * half));
            let mut v = _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), scale), shift);
            if let Some(added) = added {
                let x = _mm_loadl_epi64(added.add(8 * half).cast());
                let x = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(x));
                v = _mm256_add_ps(v, _mm256_mul_ps(x, _mm256_set1_ps(f.factor)));
            }
            v = _mm256_max_ps(v, _mm256_set1_ps(f.low));
            v = _mm256_min_ps(v, _mm256_set1_ps(f.high));
            whole[half] = _mm256_cvtps_epi32(v);
        }
        // Within each half of a register; the order is mended then.
        let both = _mm256_packus_epi32(whole[0], whole[1]);
        let both = _mm256_permute4x64_epi64::<0b11_01_10_00>(both);
        let low = _mm256_castsi256_si128(both);
        let high = _mm256_extracti128_si256::<1>(both);
        _mm_storeu_si128(out.cast(), _mm_packus_epi16(low, high));
    }
}
