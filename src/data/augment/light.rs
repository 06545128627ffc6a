//! Changes of light and colour, as torchvision v2 defines them for bytes (`torchvision/transforms/v2/functional/_color.py`). Alpha
//! stays as it is.

use super::image::{Image, cut, grey};
use crate::error::{Error, Result};

impl Image {
    /// Every value times `factor` (`adjust_brightness`).
    pub(super) fn brightness(&mut self, factor: f64) {
        self.look_up(|_, value| cut(f32::from(value) * factor as f32));
    }

    /// Mixed with the mean grey of the picture (`adjust_contrast`).
    pub(super) fn contrast(&mut self, factor: f64) {
        let pixels = self.bytes.chunks_exact(self.channels);
        let count = pixels.len().max(1) as f64;
        let mean = pixels.map(|p| f64::from(grey(p))).sum::<f64>() / count;
        self.look_up(|_, value| blend(f32::from(value), mean as f32, factor));
    }

    /// Mixed with the grey of each pixel (`adjust_saturation`); grey has none.
    pub(super) fn saturation(&mut self, factor: f64) {
        if self.channels < 3 {
            return;
        }
        for pixel in self.bytes.chunks_exact_mut(self.channels) {
            let grey = grey(pixel);
            for value in &mut pixel[..3] {
                *value = blend(f32::from(*value), grey, factor);
            }
        }
    }

    /// The grey of each pixel in all colours (`rgb_to_grayscale`).
    pub(crate) fn grey(&mut self) {
        for pixel in self.bytes.chunks_exact_mut(self.channels) {
            let grey = grey(pixel) as u8;
            let colours = pixel.len().min(3);
            pixel[..colours].fill(grey);
        }
    }

    /// Mixed with a picture smoothed by [1 1 1; 1 5 1; 1 1 1] / 13, but at the border (`adjust_sharpness`).
    pub(super) fn sharpness(&mut self, factor: f64) {
        let [height, width] = self.size;
        if height <= 2 || width <= 2 {
            return;
        }
        let (channels, from) = (self.channels, self.bytes.clone());
        let row = width * channels;
        for y in 1..height - 1 {
            for x in 1..width - 1 {
                for channel in 0..self.colours() {
                    let at = y * row + x * channels + channel;
                    let around = |i: usize| {
                        u32::from(from[i - channels])
                            + u32::from(from[i])
                            + u32::from(from[i + channels])
                    };
                    let value = f32::from(from[at]);
                    let sum =
                        around(at - row) + around(at) + around(at + row) + 4 * u32::from(from[at]);
                    let smooth = (sum as f32 / 13.0).round_ties_even();
                    self.bytes[at] = cut(value + (smooth - value) * (1.0 - factor) as f32);
                }
            }
        }
    }

    /// Only the upper `bits` of each value (`posterize`).
    pub(super) fn posterize(&mut self, bits: u32) {
        if bits < 8 {
            let mask = ((1u32 << bits) - 1) << (8 - bits);
            self.look_up(|_, value| value & mask as u8);
        }
    }

    /// Values from `threshold` on are turned round (`solarize`).
    pub(super) fn solarize(&mut self, threshold: f64) {
        self.look_up(|_, value| {
            if f64::from(value) >= threshold {
                255 - value
            } else {
                value
            }
        });
    }

    /// The values of each channel spread over 0 to 255 (`autocontrast`).
    pub(super) fn auto_contrast(&mut self) {
        let spread = self.histograms().into_iter().map(|counts| {
            let first = counts.iter().position(|n| *n > 0).unwrap_or(0);
            let last = counts.iter().rposition(|n| *n > 0).unwrap_or(0);
            let (least, scale) = if first == last {
                (0.0, 1.0)
            } else {
                (first as f32, (last - first) as f32 * (1.0 / 255.0))
            };
            (least, scale)
        });
        let spread: Vec<(f32, f32)> = spread.collect();
        self.look_up(|channel, value| {
            let (least, scale) = spread[channel];
            cut((f32::from(value) - least) / scale)
        });
    }

    /// Each channel's values by their ranks (`equalize`, which is Pillow's).
    pub(super) fn equalize(&mut self) {
        let tables = self.histograms().into_iter().map(|counts| {
            let of_last = counts.iter().rev().find(|n| **n > 0).copied().unwrap_or(0);
            let step = (counts.iter().sum::<u32>() - of_last) / 255;
            let mut below = step / 2;
            std::array::from_fn(|value| {
                if step == 0 {
                    return value as u8;
                }
                let rank = (below / step).min(255) as u8;
                below += counts[value];
                rank
            })
        });
        let tables: Vec<[u8; 256]> = tables.collect();
        self.look_up(|channel, value| tables[channel][usize::from(value)]);
    }

    /// Smoothed by a Gaussian of standard deviation `sigma` and `kernel` pixels, which is odd; the border is mirrored
    /// (`gaussian_blur`).
    pub(crate) fn blur(&mut self, kernel: usize, sigma: f64) {
        let half = (kernel / 2) as isize;
        let weight = |i: isize| (-0.5 * (i as f64 / sigma).powi(2)).exp() as f32;
        let mut weights: Vec<f32> = (-half..=half).map(weight).collect();
        let sum: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= sum);
        let ([height, width], channels) = (self.size, self.channels);
        // Along rows, then along columns; only then to bytes.
        let mut rows = vec![0f32; self.bytes.len()];
        for y in 0..height {
            let row = &self.bytes[y * width * channels..][..width * channels];
            for x in 0..width {
                for (i, weight) in weights.iter().enumerate() {
                    let from = mirrored(x as isize + i as isize - half, width) * channels;
                    let to = &mut rows[(y * width + x) * channels..][..channels];
                    for (to, from) in to.iter_mut().zip(&row[from..]) {
                        *to += weight * f32::from(*from);
                    }
                }
            }
        }
        let mut sums = vec![0f32; width * channels];
        for y in 0..height {
            sums.fill(0.0);
            for (i, weight) in weights.iter().enumerate() {
                let from = mirrored(y as isize + i as isize - half, height) * width * channels;
                for (sum, from) in sums.iter_mut().zip(&rows[from..]) {
                    *sum += weight * from;
                }
            }
            let to = &mut self.bytes[y * width * channels..][..width * channels];
            for (i, (to, sum)) in to.iter_mut().zip(&sums).enumerate() {
                if i % channels < 3 {
                    *to = cut(sum.round_ties_even());
                }
            }
        }
    }
}

impl Image {
    /// What a JPEG of this quality, from 1 to 100, keeps of it (`jpeg`).
    ///
    /// # Errors
    /// If memory is not there.
    pub(crate) fn jpeg(&mut self, quality: u8) -> Result<()> {
        let ([height, width], channels) = (self.size, self.channels);
        let fail = |e: hydranet_jpeg::Error| Error::Invalid {
            what: "a photo to be written as a JPEG".into(),
            expected: "one that memory is there for".into(),
            found: e.to_string(),
        };
        if channels != 4 {
            return hydranet_jpeg::recompress(&mut self.bytes, width, height, quality)
                .map_err(fail);
        }
        let pixels = self.bytes.chunks_exact(4);
        let mut colours: Vec<u8> = pixels.flat_map(|p| [p[0], p[1], p[2]]).collect();
        hydranet_jpeg::recompress(&mut colours, width, height, quality).map_err(fail)?;
        for (pixel, colours) in self.bytes.chunks_exact_mut(4).zip(colours.chunks_exact(3)) {
            pixel[..3].copy_from_slice(colours);
        }
        Ok(())
    }
}

fn blend(value: f32, other: f32, factor: f64) -> u8 {
    // Rounded once, as PyTorch adds with a factor.
    cut(other.mul_add((1.0 - factor) as f32, value * factor as f32))
}

/// The place in `0..len` of one that may lie beside it, the first and the last standing once.
fn mirrored(place: isize, len: usize) -> usize {
    let last = len as isize - 1;
    if last == 0 {
        return 0;
    }
    let within = place.rem_euclid(2 * last);
    within.min(2 * last - within) as usize
}
