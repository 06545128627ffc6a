//! Random changes of training photos: the label stays, the pixels vary. Everything is drawn from a seeded generator.

use crate::error::{Error, Result};
use crate::input::{InputSpec, Photo, Region};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// What may be changed. By default only the flip is on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Probability of a left-right flip.
    pub flip: f64,
    /// Largest angle of a rotation, in degrees either way; 0: none.
    pub rotation: f64,
    /// A random part of the photo instead of all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_resized_crop: Option<ResizedCrop>,
    /// Changes of light and colour.
    pub color_jitter: ColorJitter,
    /// Probability that a random rectangle is painted over with the mean colour.
    pub erasing: f64,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            flip: 0.5,
            ..Self::off()
        }
    }
}

/// A random part of the photo (Szegedy et al. 2015, "Going Deeper with Convolutions", section 6; torchvision's
/// `RandomResizedCrop`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResizedCrop {
    /// Least and largest area, as a part of the photo (after the centre crop).
    pub scale: [f64; 2],
    /// Least and largest width / height, drawn evenly on a logarithmic scale.
    pub ratio: [f64; 2],
}

impl Default for ResizedCrop {
    /// torchvision's values.
    fn default() -> Self {
        Self {
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
        }
    }
}

/// Changes of light and colour, in drawn order (torchvision's `ColorJitter`). Each factor is drawn from
/// `[max(0, 1 − v), 1 + v]`; 0 leaves it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColorJitter {
    /// Every value times the factor.
    pub brightness: f64,
    /// Mixed with the mean grey of the photo.
    pub contrast: f64,
    /// Mixed with the grey of the same pixel.
    pub saturation: f64,
}

/// Area of an erased rectangle as a part of the photo (Zhong et al. 2020, "Random Erasing Data Augmentation"; the upper end and
/// the ratios are torchvision's).
const ERASED_AREA: [f64; 2] = [0.02, 0.33];
const ERASED_RATIO: [f64; 2] = [0.3, 3.3];

impl AugmentConfig {
    /// No change at all: [`augment`](Self::augment) then gives the bytes of [`InputSpec::prepare`].
    pub(crate) fn off() -> Self {
        Self {
            flip: 0.0,
            rotation: 0.0,
            random_resized_crop: None,
            color_jitter: ColorJitter::default(),
            erasing: 0.0,
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the setting.
    pub(crate) fn validate(&self) -> Result<()> {
        let fail = |what: &str, expected: &str, found: String| {
            Err(Error::Invalid {
                what: format!("augment.{what}"),
                expected: expected.into(),
                found,
            })
        };
        for (what, p) in [("flip", self.flip), ("erasing", self.erasing)] {
            if !(0.0..=1.0).contains(&p) {
                return fail(what, "a probability from 0 to 1", p.to_string());
            }
        }
        if !(0.0..=180.0).contains(&self.rotation) {
            let expected = "degrees from 0 to 180";
            return fail("rotation", expected, self.rotation.to_string());
        }
        let jitter = &self.color_jitter;
        for (what, v) in [
            ("brightness", jitter.brightness),
            ("contrast", jitter.contrast),
            ("saturation", jitter.saturation),
        ] {
            if !(0.0..=100.0).contains(&v) {
                let what = format!("color_jitter.{what}");
                return fail(&what, "a number of at least 0, at most 100", v.to_string());
            }
        }
        if let Some(ResizedCrop { scale, ratio }) = self.random_resized_crop {
            if !(scale[0] > 0.0 && scale[0] <= scale[1] && scale[1] <= 1.0) {
                let expected = "[least, largest] part of the area, above 0 and up to 1";
                return fail("random_resized_crop.scale", expected, format!("{scale:?}"));
            }
            if !(ratio[0] >= 0.001 && ratio[0] <= ratio[1] && ratio[1] <= 1000.0) {
                let expected = "[least, largest] width / height, from 0.001 to 1000";
                return fail("random_resized_crop.ratio", expected, format!("{ratio:?}"));
            }
        }
        Ok(())
    }

    /// Crops, changes and resizes a photo: centre crop, random part, rotation, resize, flip, light and colour, erasing.
    ///
    /// # Shapes
    /// Gives `(H, W, channels)` bytes, as [`InputSpec::prepare`].
    ///
    /// # Errors
    /// As [`InputSpec::prepare`]. The settings have to be valid: draws from other ranges panic.
    pub(crate) fn augment(
        &self,
        photo: &Photo,
        spec: &InputSpec,
        rng: &mut impl Rng,
    ) -> Result<Vec<u8>> {
        let channels = spec.channels;
        let photo = &*photo.with_channels(channels);
        let mut region = spec.region(photo.height, photo.width);
        if let Some(crop) = &self.random_resized_crop {
            region = crop.draw(region, rng);
        }
        let mut rgb = if self.rotation > 0.0 {
            let degrees = rng.random_range(-self.rotation..=self.rotation);
            let turned = rotate(photo, region, degrees)?;
            turned.resize(turned.region(), spec.size, spec.interpolation)?
        } else if self.random_resized_crop.is_some() {
            photo.resize(region, spec.size, spec.interpolation)?
        } else {
            spec.prepare(photo)?
        };
        if self.flip > 0.0 && rng.random_bool(self.flip) {
            flip(&mut rgb, spec.size[1], channels);
        }
        if self.color_jitter != ColorJitter::default() {
            self.color_jitter.apply(&mut rgb, channels, rng);
        }
        if self.erasing > 0.0 && rng.random_bool(self.erasing) {
            erase(&mut rgb, spec, rng);
        }
        Ok(rgb)
    }
}

/// A rectangle of random area and shape within `height × width`; `None` if none of ten draws fits, as in torchvision.
fn draw_box(
    [height, width]: [usize; 2],
    area: [f64; 2],
    ratio: [f64; 2],
    rng: &mut impl Rng,
) -> Option<Region> {
    for _ in 0..10 {
        let area = rng.random_range(area[0]..=area[1]) * (height * width) as f64;
        let ratio = rng.random_range(ratio[0].ln()..=ratio[1].ln()).exp();
        let w = (area * ratio).sqrt().round() as usize;
        let h = (area / ratio).sqrt().round() as usize;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            return Some(Region {
                top: rng.random_range(0..=height - h),
                left: rng.random_range(0..=width - w),
                height: h,
                width: w,
            });
        }
    }
    None
}

impl ResizedCrop {
    fn draw(&self, within: Region, rng: &mut impl Rng) -> Region {
        let Region { height, width, .. } = within;
        let part = draw_box([height, width], self.scale, self.ratio, rng).unwrap_or_else(|| {
            // No draw fitted: the largest centred part whose shape is allowed.
            let ratio = (width as f64 / height as f64).clamp(self.ratio[0], self.ratio[1]);
            let w = ((height as f64 * ratio).round() as usize).clamp(1, width);
            let h = ((width as f64 / ratio).round() as usize).clamp(1, height);
            Region {
                top: (height - h) / 2,
                left: (width - w) / 2,
                height: h,
                width: w,
            }
        });
        Region {
            top: within.top + part.top,
            left: within.left + part.left,
            ..part
        }
    }
}

/// The region turned about its centre, bilinear. The corners show what lies beside the region; beyond the photo, its border goes
/// on.
fn rotate(photo: &Photo, region: Region, degrees: f64) -> Result<Photo> {
    // Also checks the photo's bytes against its size, so that the indices below are within it.
    let channels = photo.channels();
    if photo.rgb.len() != photo.height * photo.width * channels || photo.rgb.is_empty() {
        return Err(Error::Shape {
            what: "photo".into(),
            expected: format!("({}, {}, 3)", photo.height, photo.width),
            found: vec![photo.rgb.len()],
        });
    }
    let (sin, cos) = degrees.to_radians().sin_cos();
    let (half_h, half_w) = (
        (region.height as f64 - 1.0) / 2.0,
        (region.width as f64 - 1.0) / 2.0,
    );
    let (mid_y, mid_x) = (region.top as f64 + half_h, region.left as f64 + half_w);
    let mut rgb = Vec::with_capacity(region.height * region.width * channels);
    for y in 0..region.height {
        for x in 0..region.width {
            let (dy, dx) = (y as f64 - half_h, x as f64 - half_w);
            let from_y = (mid_y + cos * dy + sin * dx).clamp(0.0, (photo.height - 1) as f64);
            let from_x = (mid_x + cos * dx - sin * dy).clamp(0.0, (photo.width - 1) as f64);
            let (top, left) = (from_y as usize, from_x as usize);
            let bottom = (top + 1).min(photo.height - 1);
            let right = (left + 1).min(photo.width - 1);
            let (fy, fx) = (from_y - top as f64, from_x - left as f64);
            for channel in 0..channels {
                let at = |y: usize, x: usize| {
                    f64::from(photo.rgb[(y * photo.width + x) * channels + channel])
                };
                let above = at(top, left) * (1.0 - fx) + at(top, right) * fx;
                let below = at(bottom, left) * (1.0 - fx) + at(bottom, right) * fx;
                rgb.push((above * (1.0 - fy) + below * fy).round() as u8);
            }
        }
    }
    Ok(Photo {
        height: region.height,
        width: region.width,
        rgb,
    })
}

fn flip(rgb: &mut [u8], width: usize, channels: usize) {
    for row in rgb.chunks_exact_mut(width * channels) {
        for x in 0..width / 2 {
            for channel in 0..channels {
                row.swap(x * channels + channel, (width - 1 - x) * channels + channel);
            }
        }
    }
}

/// Grey as torchvision's `rgb_to_grayscale` weighs it.
fn grey(pixel: &[f32]) -> f32 {
    match *pixel {
        [r, g, b, ..] => 0.2989 * r + 0.587 * g + 0.114 * b,
        _ => pixel[0],
    }
}

impl ColorJitter {
    /// Grey has no saturation, and alpha stays as it is.
    fn apply(&self, rgb: &mut [u8], channels: usize, rng: &mut impl Rng) {
        let mut pixels: Vec<f32> = rgb.iter().map(|v| f32::from(*v)).collect();
        let mut order = [0, 1, 2];
        for last in (1..order.len()).rev() {
            order.swap(last, rng.random_range(0..=last));
        }
        for which in order {
            let spread = [self.brightness, self.contrast, self.saturation][which];
            if spread == 0.0 {
                continue;
            }
            let factor = rng.random_range((1.0 - spread).max(0.0)..=1.0 + spread) as f32;
            let mut mean = 0.0;
            if which == 1 {
                let greys = pixels.chunks_exact(channels).map(|p| f64::from(grey(p)));
                mean = (greys.sum::<f64>() / (pixels.len() / channels) as f64) as f32;
            }
            for pixel in pixels.chunks_exact_mut(channels) {
                let other = match which {
                    0 => 0.0,
                    1 => mean,
                    _ => grey(pixel),
                };
                for v in pixel.iter_mut().take(3) {
                    *v = (*v * factor + other * (1.0 - factor)).clamp(0.0, 255.0);
                }
            }
        }
        for (to, v) in rgb.iter_mut().zip(pixels) {
            *to = v.round() as u8;
        }
    }
}

/// Paints a random rectangle with the mean, which is 0 after normalisation (to within the rounding to a byte).
fn erase(rgb: &mut [u8], spec: &InputSpec, rng: &mut impl Rng) {
    let Some(part) = draw_box(spec.size, ERASED_AREA, ERASED_RATIO, rng) else {
        return;
    };
    let channels = spec.channels;
    let mean = (0..channels).map(|channel| (spec.norm(channel).0 * 255.0).round() as u8);
    let mean: Vec<u8> = mean.collect();
    let rows = rgb.chunks_exact_mut(spec.size[1] * channels);
    for row in rows.skip(part.top).take(part.height) {
        for pixel in row
            .chunks_exact_mut(channels)
            .skip(part.left)
            .take(part.width)
        {
            pixel.copy_from_slice(&mean);
        }
    }
}
