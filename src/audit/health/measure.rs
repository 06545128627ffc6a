//! What one photo's pixels say.

use super::hash::{difference_hash, perceptual_hash};
use crate::error::Result;
use crate::input::Photo;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Measures of a photo. Grey is ITU-R 601 luma, 0 to 255.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Mean of grey.
    pub brightness: f64,
    /// Variance of the Laplacian of grey (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy"), with the
    /// kernel 0 1 0 / 1 −4 1 / 0 1 0 and edges mirrored, as OpenCV's `Laplacian`. It grows with the photo's resolution and noise.
    pub sharpness: f64,
    /// Shannon entropy of the grey levels, in bits: 0 to 8.
    pub entropy: f64,
    /// See [`perceptual_hash`].
    pub phash: u64,
    /// See [`difference_hash`].
    pub dhash: u64,
    /// SHA-256 of size and decoded, upright pixels.
    #[serde(skip)]
    pub pixels: [u8; 32],
}

impl Measures {
    /// Measures a photo.
    ///
    /// # Errors
    /// As [`Photo::resize`].
    pub fn new(photo: &Photo) -> Result<Self> {
        let grey = photo.with_channels(1);
        let mut levels = [0u64; 256];
        for value in &grey.rgb {
            levels[usize::from(*value)] += 1;
        }
        let count = grey.rgb.len().max(1) as f64;
        let sum: u64 = levels.iter().zip(0u64..).map(|(n, v)| n * v).sum();
        let entropy = levels
            .iter()
            .filter(|n| **n > 0)
            .map(|n| *n as f64 / count)
            .map(|p| -p * p.log2())
            .sum::<f64>();
        let mut hash = Sha256::new();
        hash.update((photo.height as u64).to_le_bytes());
        hash.update((photo.width as u64).to_le_bytes());
        hash.update(&photo.rgb);
        Ok(Self {
            height: photo.height,
            width: photo.width,
            brightness: sum as f64 / count,
            sharpness: laplacian_variance(&grey.rgb, photo.height, photo.width),
            // A photo of one level has −0.
            entropy: entropy.max(0.0),
            phash: perceptual_hash(&grey)?,
            dhash: difference_hash(&grey)?,
            pixels: hash.finalize().into(),
        })
    }
}

fn laplacian_variance(grey: &[u8], height: usize, width: usize) -> f64 {
    let row = |y: usize| &grey[y * width..(y + 1) * width];
    // OpenCV's BORDER_REFLECT_101: the edge itself is not repeated.
    let mirrored = |i: usize, side: usize, step: isize| {
        let next = i as isize + step;
        match next {
            -1 => 1.min(side - 1),
            next if next as usize >= side => side.saturating_sub(2),
            next => next as usize,
        }
    };
    let (mut sum, mut squares) = (0i64, 0i64);
    for y in 0..height {
        let (above, here, below) = (
            row(mirrored(y, height, -1)),
            row(y),
            row(mirrored(y, height, 1)),
        );
        for x in 0..width {
            let (left, right) = (mirrored(x, width, -1), mirrored(x, width, 1));
            let around = [above[x], below[x], here[left], here[right]];
            let value = around.iter().map(|v| i64::from(*v)).sum::<i64>() - 4 * i64::from(here[x]);
            sum += value;
            squares += value * value;
        }
    }
    let count = (height * width).max(1) as f64;
    let mean = sum as f64 / count;
    squares as f64 / count - mean * mean
}
