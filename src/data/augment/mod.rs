//! Random changes of training photos: the label stays, the pixels vary. Everything is drawn from a seeded generator.

mod crop;
mod geometry;
pub(super) mod image;
mod jitter;
mod light;
pub(super) mod operation;
pub(super) mod policy;
mod turn;

use crate::error::{Error, Result};
use crate::input::{InputSpec, Photo};
use image::Image;
use rand::Rng;
use serde::{Deserialize, Serialize};

pub use crop::ResizedCrop;
pub use jitter::ColorJitter;
pub use policy::AugmentPolicy;

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
    /// Operations chosen at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "crate::names::some_word_or_table")]
    pub policy: Option<AugmentPolicy>,
    /// Probability that the corners are moved inwards, each by up to a quarter of the sides (torchvision's `RandomPerspective`
    /// with its distortion of 0.5).
    #[serde(skip_serializing_if = "is_zero")]
    pub perspective: f64,
    /// Probability that colours become grey.
    #[serde(skip_serializing_if = "is_zero")]
    pub grey: f64,
    /// Probability of a Gaussian blur over a tenth of the shorter side with a deviation from 0.1 to 2 pixels, as in SimCLR (Chen et
    /// al. 2020, appendix A).
    #[serde(skip_serializing_if = "is_zero")]
    pub blur: f64,
    /// Probability that the photo loses what a JPEG of a quality from 40 to 95 loses.
    #[serde(skip_serializing_if = "is_zero")]
    pub jpeg: f64,
    /// Probability that a random rectangle is painted over with the mean colour.
    pub erasing: f64,
}

fn is_zero(probability: &f64) -> bool {
    *probability == 0.0
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            flip: 0.5,
            ..Self::off()
        }
    }
}

impl AugmentConfig {
    /// No change at all: [`augment`](Self::augment) then gives the bytes of [`InputSpec::prepare`].
    pub(crate) fn off() -> Self {
        Self {
            flip: 0.0,
            rotation: 0.0,
            random_resized_crop: None,
            color_jitter: ColorJitter::default(),
            policy: None,
            perspective: 0.0,
            grey: 0.0,
            blur: 0.0,
            jpeg: 0.0,
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
        for (what, p) in [
            ("flip", self.flip),
            ("perspective", self.perspective),
            ("grey", self.grey),
            ("blur", self.blur),
            ("jpeg", self.jpeg),
            ("erasing", self.erasing),
        ] {
            if !(0.0..=1.0).contains(&p) {
                return fail(what, "a probability from 0 to 1", p.to_string());
            }
        }
        if !(0.0..=180.0).contains(&self.rotation) {
            let expected = "degrees from 0 to 180";
            return fail("rotation", expected, self.rotation.to_string());
        }
        if let Some(policy) = &self.policy {
            policy.validate()?;
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

    /// Crops, changes and resizes a photo: centre crop, random part, rotation, resize, flip, the policy's operations, perspective,
    /// light and colour, grey, blur, JPEG, erasing.
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
        let bytes = if self.rotation > 0.0 {
            let degrees = rng.random_range(-self.rotation..=self.rotation);
            let turned = turn::rotate(photo, region, degrees)?;
            turned.resize(turned.region(), spec.size, spec.interpolation)?
        } else if self.random_resized_crop.is_some() {
            photo.resize(region, spec.size, spec.interpolation)?
        } else {
            spec.prepare(photo)?
        };
        let mut image = Image {
            size: spec.size,
            channels,
            bytes,
        };
        // A probability of 0 draws nothing: what is off changes nothing of what is drawn for the rest.
        let happens =
            |probability: f64, rng: &mut _| probability > 0.0 && Rng::random_bool(rng, probability);
        if happens(self.flip, rng) {
            image.flip();
        }
        if let Some(policy) = &self.policy {
            policy.apply(&mut image, rng);
        }
        if happens(self.perspective, rng) {
            image.perspective(geometry::corners(spec.size, rng));
        }
        if self.color_jitter != ColorJitter::default() {
            self.color_jitter.apply(&mut image, rng);
        }
        if happens(self.grey, rng) {
            image.grey();
        }
        if happens(self.blur, rng) {
            let tenth = spec.size[0].min(spec.size[1]) / 10;
            image.blur(tenth | 1, rng.random_range(0.1..=2.0));
        }
        if happens(self.jpeg, rng) {
            image.jpeg(rng.random_range(40..=95))?;
        }
        if happens(self.erasing, rng) {
            crop::erase(&mut image, spec, rng);
        }
        Ok(image.bytes)
    }
}
