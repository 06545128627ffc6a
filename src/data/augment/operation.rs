//! The operations that policies choose from.

use super::image::Image;

/// One operation and how strong it is, as torchvision's `AutoAugment` module names and applies them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operation {
    Identity,
    /// The tangent of the angle.
    ShearX(f64),
    ShearY(f64),
    /// Pixels.
    TranslateX(f64),
    TranslateY(f64),
    /// Degrees.
    Rotate(f64),
    /// What is added to the factor 1, as of the next three.
    Brightness(f64),
    Color(f64),
    Contrast(f64),
    Sharpness(f64),
    /// Bits that are left.
    Posterize(f64),
    /// The threshold as a share of 255.
    Solarize(f64),
    AutoContrast,
    Equalize,
}

impl Operation {
    /// Changes a picture; `mixed` is how [`Image::affine`] samples.
    pub(crate) fn apply(self, image: &mut Image, mixed: bool) {
        let corner = Some([0.0; 2]);
        let degrees = |tangent: f64| tangent.atan().to_degrees();
        match self {
            Self::Identity => {}
            Self::ShearX(m) => image.affine(0.0, [0.0; 2], [degrees(m), 0.0], corner, mixed),
            Self::ShearY(m) => image.affine(0.0, [0.0; 2], [0.0, degrees(m)], corner, mixed),
            Self::TranslateX(m) => image.affine(0.0, [m.trunc(), 0.0], [0.0; 2], None, mixed),
            Self::TranslateY(m) => image.affine(0.0, [0.0, m.trunc()], [0.0; 2], None, mixed),
            Self::Rotate(m) => image.affine(-m, [0.0; 2], [0.0; 2], None, mixed),
            Self::Brightness(m) => image.brightness(1.0 + m),
            Self::Color(m) => image.saturation(1.0 + m),
            Self::Contrast(m) => image.contrast(1.0 + m),
            Self::Sharpness(m) => image.sharpness(1.0 + m),
            Self::Posterize(m) => image.posterize(m as u32),
            Self::Solarize(m) => image.solarize(255.0 * m),
            Self::AutoContrast => image.auto_contrast(),
            Self::Equalize => image.equalize(),
        }
    }
}
