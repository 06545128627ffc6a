//! Images to bytes, poolings, and bytes to values.

use super::finish::rounded;
use super::{Scale, stride};
use crate::pool::Windows;
use std::ops::Range;

/// An image `(channels, H · W)` as bytes `(H · W, channels)`, without filling.
///
/// # Panics
/// If `out` is of another length.
pub fn images(image: &[f32], channels: usize, scale: Scale, out: &mut [u8]) {
    assert_eq!(image.len(), out.len(), "bytes of an image");
    let step = 1.0 / scale.scale;
    let zero = f32::from(scale.zero);
    let plane = image.len() / channels;
    let mut bytes = [0u8; 256];
    for (c, values) in image.chunks_exact(plane.max(1)).enumerate() {
        for (i, values) in values.chunks(bytes.len()).enumerate() {
            for (byte, v) in bytes.iter_mut().zip(values) {
                *byte = rounded((v * step + zero).clamp(0.0, 255.0));
            }
            let at = i * bytes.len() * channels + c;
            let places = out[at..].iter_mut().step_by(channels);
            for (to, byte) in places.zip(&bytes[..values.len()]) {
                *to = *byte;
            }
        }
    }
}

/// The mean of each channel of a map over its positions.
pub fn means(map: &[u8], channels: usize, scale: Scale, out: &mut [f32]) {
    let bytes = stride(channels);
    let mut sums = vec![0u32; bytes];
    for position in map.chunks_exact(bytes) {
        for (sum, x) in sums.iter_mut().zip(position) {
            *sum += u32::from(*x);
        }
    }
    let count = (map.len() / bytes) as f64;
    for (out, sum) in out.iter_mut().zip(&sums[..channels]) {
        let above = f64::from(*sum) - count * f64::from(scale.zero);
        *out = (above * f64::from(scale.scale) / count) as f32;
    }
}

/// The values of a map, `(channels, H · W)`.
pub fn planes(map: &[u8], channels: usize, scale: Scale, out: &mut [f32]) {
    let bytes = stride(channels);
    let plane = map.len() / bytes;
    for (c, out) in out.chunks_exact_mut(plane.max(1)).enumerate() {
        for (out, position) in out.iter_mut().zip(map.chunks_exact(bytes)) {
            *out = scale.value(position[c]);
        }
    }
}

/// The greatest byte of each window; what is beside the map is never taken.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool {
    /// The sizes, of one image.
    pub windows: Windows,
}

impl MaxPool {
    /// Output rows of one image, `(rows, ow, channels filled up)`; the bytes mean what those of the map do.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn rows(&self, x: &[u8], rows: Range<usize>, out: &mut [u8]) {
        let w = &self.windows;
        let bytes = stride(w.c);
        let positions = rows.flat_map(|y| (0..w.cols.out).map(move |x| (y, x)));
        for ((oy, ox), out) in positions.zip(out.chunks_exact_mut(bytes)) {
            // No byte is less.
            out.fill(0);
            w.each(oy, ox, |_, place| {
                for (out, x) in out.iter_mut().zip(&x[place * bytes..][..bytes]) {
                    *out = (*out).max(*x);
                }
            });
        }
    }
}
