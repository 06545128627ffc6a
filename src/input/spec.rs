//! The path from photo to tensor as data, and its last step.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How pixels are interpolated when a photo is resized. Always antialiased: the filter widens with the reduction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Interpolation {
    /// Triangle filter, as Pillow's `BILINEAR`.
    #[default]
    Bilinear,
    /// Catmull-Rom-like cubic (a = −0.5), as Pillow's `BICUBIC`.
    Bicubic,
}

/// The path from photo to tensor; saved in the model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputSpec {
    /// `[height, width]` of what the backbone sees, in pixels.
    pub size: [usize; 2],
    /// `[height, width]` in pixels of the centre crop taken before resizing; none: the whole photo. A photo smaller than the
    /// crop in one direction is used whole in that direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<[usize; 2]>,
    /// Keeps the photo's shape, as timm evaluates: the photo, or its [`crop`](Self::crop), is resized until it just covers
    /// `size / crop_pct`, and the middle of `size` is taken. From 0.01 to 1. None: height and width are resized each for
    /// itself, and nothing is left out. [`Architecture::crop_pct`](crate::Architecture::crop_pct) is that of a backbone's
    /// pretrained weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_pct: Option<f64>,
    /// Whether a JPEG that is large beside `size` is decoded at a half, a quarter or an eighth of its width and height, which is
    /// much faster and changes pixels by a grey level or two: the smallest that leaves twice as many pixels as `size` on both
    /// sides of what is looked at (of the [`crop`](Self::crop), which is that part of the photo as before). Pixels are those of
    /// Pillow's draft mode. Several models that look at one decoded photo see it as large as the most demanding of them needs it.
    /// Photos of other kinds, and pixels, are taken as they are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reduce: bool,
    /// The interpolation.
    pub interpolation: Interpolation,
    /// What a backbone sees of each pixel: 1 (grey), 3 (red, green, blue) or 4 (and alpha, 255 where a photo has none).
    #[serde(skip_serializing_if = "is_three")]
    pub channels: usize,
    /// Subtracted from each channel (red, green, blue), on the scale 0–1; grey has the mean of the
    /// three, alpha what red has.
    pub mean: [f32; 3],
    /// Each channel is divided by this after the mean is taken off, on the scale 0–1.
    pub std: [f32; 3],
}

/// What [`InputSpec::reduce`] does, in words.
const REDUCED: &str = "JPEGs decoded at an eighth, a quarter or a half of their size (libjpeg's scaled decoding, Pillow's \
    draft mode) where both sides of what is looked at keep twice as many pixels as the input, ";

fn is_three(channels: &usize) -> bool {
    *channels == 3
}

impl Default for InputSpec {
    fn default() -> Self {
        Self {
            size: [224, 224],
            crop: None,
            crop_pct: None,
            reduce: false,
            interpolation: Interpolation::Bilinear,
            channels: 3,
            mean: [127.0 / 255.0; 3],
            std: [128.0 / 255.0; 3],
        }
    }
}

impl InputSpec {
    /// Checks sizes and normalisation.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let fail = |what: &str, expected: &str, found: String| {
            Err(Error::Invalid {
                what: format!("input.{what}"),
                expected: expected.into(),
                found,
            })
        };
        if self.size.iter().any(|s| !(16..=4096).contains(s)) {
            return fail(
                "size",
                "[height, width], each from 16 to 4096 pixels",
                format!("{:?}", self.size),
            );
        }
        if let Some(c) = self.crop
            && c.contains(&0)
        {
            return fail(
                "crop",
                "[height, width], each at least 1 pixel",
                format!("{c:?}"),
            );
        }
        if let Some(pct) = self.crop_pct
            && !(0.01..=1.0).contains(&pct)
        {
            return fail("crop_pct", "a number from 0.01 to 1", pct.to_string());
        }
        if ![1, 3, 4].contains(&self.channels) {
            return fail(
                "channels",
                "1 (grey), 3 (red, green, blue) or 4 (and alpha)",
                self.channels.to_string(),
            );
        }
        if self.std.iter().any(|s| !(1e-6..=1e6).contains(s)) {
            let expected = "three numbers from 0.000001 to 1000000";
            return fail("std", expected, format!("{:?}", self.std));
        }
        if self.mean.iter().any(|m| !(-1e6..=1e6).contains(m)) {
            let expected = "three numbers from -1000000 to 1000000";
            return fail("mean", expected, format!("{:?}", self.mean));
        }
        Ok(())
    }

    /// What is done to a photo, in words.
    pub(crate) fn words(&self) -> String {
        let [height, width] = self.size;
        let crop = match self.crop {
            Some([h, w]) => format!("the middle {h} × {w} pixels, "),
            None => String::new(),
        };
        let reduced = if self.reduce { REDUCED } else { "" };
        let resized = match self.crop_pct {
            None => format!("resized to {height} × {width}"),
            Some(pct) => format!(
                "resized in its shape until it covers {height} × {width} divided by {pct}, of which the middle {height} × {width}"
            ),
        };
        let (mean, std): (Vec<f32>, Vec<f32>) = (0..self.channels).map(|c| self.norm(c)).unzip();
        format!(
            "{reduced}{crop}{resized} (height × width; {}, antialiased), {} channels on the scale 0–1, less {mean:?}, divided by {std:?}",
            format!("{:?}", self.interpolation).to_lowercase(),
            self.channels,
        )
    }

    /// Mean and deviation of a channel. Of grey the means of the three; alpha has those of red, whose weights
    /// it is given too. timm, which adapts the weights alike, leaves the
    /// normalisation of other channels to its user.
    pub(crate) fn norm(&self, channel: usize) -> (f32, f32) {
        let middle = |of: [f32; 3]| (of.iter().map(|v| f64::from(*v)).sum::<f64>() / 3.0) as f32;
        match self.channels {
            1 => (middle(self.mean), middle(self.std)),
            _ => (self.mean[channel % 3], self.std[channel % 3]),
        }
    }

    /// How many of `most` photos are held as numbers at once: such as together take at most 128 MiB, and at least one.
    pub(crate) fn at_once(&self, most: usize) -> usize {
        let photo = self.channels * self.size[0] * self.size[1] * size_of::<f32>();
        ((128 << 20) / photo.max(1)).clamp(1, most.max(1))
    }

    /// Writes `(x / 255 − mean) / std`, turning pixels into planes.
    ///
    /// # Shapes
    /// - `rgb`: `(H, W, channels)`, rows from the top, red first
    /// - `out`: `(channels, H, W)`
    ///
    /// # Errors
    /// [`Error::Shape`] if the two do not have `channels · H · W` values.
    pub fn normalise_into(&self, rgb: &[u8], out: &mut [f32]) -> Result<()> {
        let ([height, width], channels) = (self.size, self.channels);
        for (what, len) in [("prepared photo", rgb.len()), ("pixel planes", out.len())] {
            if len != channels * height * width {
                return Err(Error::Shape {
                    what: what.into(),
                    expected: format!("{channels} · {height} · {width} values"),
                    found: vec![len],
                });
            }
        }
        for (channel, plane) in out.chunks_exact_mut(height * width).enumerate() {
            let (mean, std) = self.norm(channel);
            let table: [f32; 256] = std::array::from_fn(|x| (x as f32 / 255.0 - mean) / std);
            for (to, pixel) in plane.iter_mut().zip(rgb.chunks_exact(channels)) {
                *to = table[usize::from(pixel[channel])];
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_photos_are_held_at_once_as_take_128_mib() {
        for (side, most) in [(224, 32), (1024, 10), (4096, 1)] {
            let spec = InputSpec {
                size: [side, side],
                ..InputSpec::default()
            };
            assert_eq!(spec.at_once(32), most);
        }
    }
}
