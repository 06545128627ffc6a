//! Random rectangles: the part of a photo that is shown, and what is painted over.

use super::image::Image;
use crate::input::{InputSpec, Region};
use rand::Rng;
use serde::{Deserialize, Serialize};

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

/// Area of an erased rectangle as a part of the photo (Zhong et al. 2020, "Random Erasing Data Augmentation"; the upper end and
/// the ratios are torchvision's).
const ERASED_AREA: [f64; 2] = [0.02, 0.33];
const ERASED_RATIO: [f64; 2] = [0.3, 3.3];

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
    pub(super) fn draw(&self, within: Region, rng: &mut impl Rng) -> Region {
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

/// Paints a random rectangle with the mean, which is 0 after normalisation (to within the rounding to a byte).
pub(super) fn erase(image: &mut Image, spec: &InputSpec, rng: &mut impl Rng) {
    let Some(part) = draw_box(spec.size, ERASED_AREA, ERASED_RATIO, rng) else {
        return;
    };
    let channels = spec.channels;
    let mean = (0..channels).map(|channel| (spec.norm(channel).0 * 255.0).round() as u8);
    let mean: Vec<u8> = mean.collect();
    let rows = image.bytes.chunks_exact_mut(spec.size[1] * channels);
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
