//! From a photo to the tensor a backbone takes: decode, orient, crop, resize, normalise. Training and prediction share this path.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

#[cfg(feature = "image")]
mod decode;
#[cfg(feature = "train")]
pub(crate) use decode::read_photo;
#[cfg(feature = "image")]
pub use decode::{MAX_BYTES, MAX_SIDE, MIN_SIDE, Photo, Region, find_images, is_image_name};

/// How pixels are interpolated when a photo is resized. Always antialiased: the filter widens with the reduction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// The interpolation.
    pub interpolation: Interpolation,
    /// Subtracted from each channel (red, green, blue), on the scale 0–1.
    pub mean: [f32; 3],
    /// Each channel is divided by this after the mean is taken off, on the scale 0–1.
    pub std: [f32; 3],
}

impl Default for InputSpec {
    fn default() -> Self {
        Self {
            size: [224, 224],
            crop: None,
            interpolation: Interpolation::Bilinear,
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
        if self.std.iter().any(|s| !(*s > 0.0 && s.is_finite())) {
            return fail("std", "three positive numbers", format!("{:?}", self.std));
        }
        if self.mean.iter().any(|m| !m.is_finite()) {
            return fail("mean", "three numbers", format!("{:?}", self.mean));
        }
        Ok(())
    }

    /// Writes `(x / 255 − mean) / std`, turning pixels into planes.
    ///
    /// # Shapes
    /// - `rgb`: `(H, W, 3)`, rows from the top, red first
    /// - `out`: `(3, H, W)`
    ///
    /// # Errors
    /// [`Error::Shape`] if the two do not have `3 · H · W` values.
    pub fn normalise_into(&self, rgb: &[u8], out: &mut [f32]) -> Result<()> {
        let [height, width] = self.size;
        for (what, len) in [("prepared photo", rgb.len()), ("pixel planes", out.len())] {
            if len != 3 * height * width {
                return Err(Error::Shape {
                    what: what.into(),
                    expected: format!("3 · {height} · {width} values"),
                    found: vec![len],
                });
            }
        }
        for (channel, plane) in out.chunks_exact_mut(height * width).enumerate() {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            let table: [f32; 256] = std::array::from_fn(|x| (x as f32 / 255.0 - mean) / std);
            for (to, pixel) in plane.iter_mut().zip(rgb.chunks_exact(3)) {
                *to = table[usize::from(pixel[channel])];
            }
        }
        Ok(())
    }
}
