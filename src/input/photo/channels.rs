//! The channels of a photo: grey, colours, colours and alpha.

use super::pixels::Photo;
use std::borrow::Cow;

impl Photo {
    #[cfg(feature = "image")]
    /// A picture of the crate [`image`] with 1, 3 or 4 channels (as [`InputSpec::channels`](crate::InputSpec::channels) says), as
    /// it is: without regard to any orientation its file may have named.
    pub fn from_image(image: &image::DynamicImage, channels: usize) -> Self {
        let rgb = match channels {
            4 => image.to_rgba8().into_raw(),
            _ => image.to_rgb8().into_raw(),
        };
        let photo = Self {
            height: image.height() as usize,
            width: image.width() as usize,
            rgb,
        };
        photo.with_channels(channels).into_owned()
    }

    /// Leaves alpha out, or makes it grey, in place: what [`with_channels`](Self::with_channels) gives, without a second copy. It
    /// has as many channels as it had if that are not more.
    #[cfg(feature = "image")]
    pub(crate) fn reduce(&mut self, channels: usize) {
        let of = self.channels();
        if of < 3 || of <= channels {
            return;
        }
        for pixel in 0..self.height * self.width {
            let from = pixel * of;
            match channels {
                1 => {
                    self.rgb[pixel] =
                        luma([self.rgb[from], self.rgb[from + 1], self.rgb[from + 2]]);
                }
                _ => self.rgb.copy_within(from..from + 3, pixel * 3),
            }
        }
        self.rgb.truncate(self.height * self.width * channels);
    }

    /// Values a pixel: 1 (grey), 3 (red, green, blue) or 4 (and alpha).
    pub fn channels(&self) -> usize {
        self.rgb.len() / self.height.saturating_mul(self.width).max(1)
    }

    /// The photo with 1, 3 or 4 values a pixel. Grey is 0.299 R + 0.587 G + 0.114 B, rounded as Pillow's `convert("L")`; alpha
    /// that is not there is 255, and that is there is left out, the colours being taken as they are.
    pub(crate) fn with_channels(&self, channels: usize) -> Cow<'_, Self> {
        if self.channels() == channels {
            return Cow::Borrowed(self);
        }
        let mut rgb = Vec::with_capacity(self.rgb.len() / self.channels().max(1) * channels);
        for pixel in self.rgb.chunks_exact(self.channels().max(1)) {
            let colours = match *pixel {
                [r, g, b, ..] => [r, g, b],
                _ => [pixel[0]; 3],
            };
            match channels {
                1 => rgb.push(luma(colours)),
                3 => rgb.extend(colours),
                _ => rgb.extend([colours[0], colours[1], colours[2], 255]),
            }
        }
        Cow::Owned(Self {
            rgb,
            height: self.height,
            width: self.width,
        })
    }
}

/// ITU-R 601 in sixteen bits, as Pillow.
pub(super) fn luma([r, g, b]: [u8; 3]) -> u8 {
    let sum = 19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b);
    ((sum + 0x8000) >> 16) as u8
}

/// Each colour times alpha, as Pillow before it resizes: what cannot be seen then adds nothing to what can.
pub(super) fn premultiply(rgba: &[u8]) -> Vec<u8> {
    let scaled = |v: u8, alpha: u8| {
        let product = u32::from(v) * u32::from(alpha) + 128;
        (((product >> 8) + product) >> 8) as u8
    };
    let pixels = rgba.chunks_exact(4);
    pixels
        .flat_map(|p| {
            [
                scaled(p[0], p[3]),
                scaled(p[1], p[3]),
                scaled(p[2], p[3]),
                p[3],
            ]
        })
        .collect()
}

/// The other way, as Pillow after it has resized.
pub(super) fn divide(mut rgba: Vec<u8>) -> Vec<u8> {
    for pixel in rgba.chunks_exact_mut(4) {
        let alpha = u32::from(pixel[3]);
        if alpha > 0 && alpha < 255 {
            for v in &mut pixel[..3] {
                *v = (255 * u32::from(*v) / alpha).min(255) as u8;
            }
        }
    }
    rgba
}
