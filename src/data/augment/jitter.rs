//! Light and colour changed at random.

use super::image::Image;
use rand::Rng;
use serde::{Deserialize, Serialize};

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

impl ColorJitter {
    pub(super) fn apply(&self, image: &mut Image, rng: &mut impl Rng) {
        let mut order = [0, 1, 2];
        for last in (1..order.len()).rev() {
            order.swap(last, rng.random_range(0..=last));
        }
        for which in order {
            let spread = [self.brightness, self.contrast, self.saturation][which];
            if spread == 0.0 {
                continue;
            }
            let factor = rng.random_range((1.0 - spread).max(0.0)..=1.0 + spread);
            match which {
                0 => image.brightness(factor),
                1 => image.contrast(factor),
                _ => image.saturation(factor),
            }
        }
    }
}
