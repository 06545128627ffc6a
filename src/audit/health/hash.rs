//! Hashes that photos alike have alike.

use crate::error::Result;
use crate::input::Photo;
use std::f64::consts::PI;

/// The perceptual hash `phash` of the PyPI package imagehash 4.3: grey, 32 × 32 by Lanczos, its discrete cosine transform (type
/// II), of the 8 × 8 lowest frequencies a bit for each that is above their median, row by row, the first one highest (after
/// Zauner 2010, "Implementation and benchmarking of perceptual image hash functions").
///
/// # Errors
/// As [`Photo::resize`].
pub fn perceptual_hash(photo: &Photo) -> Result<u64> {
    const SIDE: usize = 32;
    const LOW: usize = 8;
    let pixels = photo.with_channels(1).lanczos([SIDE, SIDE])?;
    let angle = |k: usize, n: usize| PI * (k * (2 * n + 1)) as f64 / (2 * SIDE) as f64;
    let wave: Vec<[f64; SIDE]> = (0..LOW)
        .map(|k| std::array::from_fn(|n| 2.0 * angle(k, n).cos()))
        .collect();
    // Columns first, as there; only the frequencies that are used.
    let mut rows = [[0.0; SIDE]; LOW];
    for (row, wave) in rows.iter_mut().zip(&wave) {
        for (pixels, factor) in pixels.chunks_exact(SIDE).zip(wave) {
            for (sum, pixel) in row.iter_mut().zip(pixels) {
                *sum += factor * f64::from(*pixel);
            }
        }
    }
    let mut low = [0.0; LOW * LOW];
    for (i, value) in low.iter_mut().enumerate() {
        let (row, wave) = (&rows[i / LOW], &wave[i % LOW]);
        *value = row.iter().zip(wave).map(|(a, b)| a * b).sum();
    }
    let mut sorted = low;
    sorted.sort_by(f64::total_cmp);
    let median = (sorted[31] + sorted[32]) / 2.0;
    Ok(bits(low.iter().map(|v| *v > median)))
}

/// The difference hash `dhash` of the same package: grey, 8 × 9 (height × width) by Lanczos, a bit for each pixel that is
/// brighter than its left neighbour.
///
/// # Errors
/// As [`Photo::resize`].
pub fn difference_hash(photo: &Photo) -> Result<u64> {
    let pixels = photo.with_channels(1).lanczos([8, 9])?;
    let rows = pixels.chunks_exact(9);
    Ok(bits(
        rows.flat_map(|row| row.windows(2).map(|w| w[1] > w[0])),
    ))
}

fn bits(values: impl Iterator<Item = bool>) -> u64 {
    values.fold(0, |hash, bit| (hash << 1) | u64::from(bit))
}
