//! Parts of a photo at another size, pixel for pixel as Pillow makes them.

use super::channels::{divide, premultiply};
use super::pixels::{Photo, Region};
use crate::error::{Error, Result};
use crate::input::spec::Interpolation;
use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use std::borrow::Cow;

impl Photo {
    /// The whole photo as a region.
    pub(crate) fn region(&self) -> Region {
        Region {
            top: 0,
            left: 0,
            height: self.height,
            width: self.width,
        }
    }

    /// Resizes `region` to `size` = `[height, width]`, antialiased; pixels outside the region are not looked at.
    ///
    /// # Errors
    /// [`Error::Shape`] if `rgb` is not `height · width · 3` bytes (or · 1, or · 4), [`Error::Invalid`] if the region does not
    /// lie in the photo.
    pub(crate) fn resize(
        &self,
        region: Region,
        size: [usize; 2],
        interpolation: Interpolation,
    ) -> Result<Vec<u8>> {
        let filter = match interpolation {
            Interpolation::Bilinear => FilterType::Bilinear,
            Interpolation::Bicubic => FilterType::CatmullRom,
        };
        self.filtered(region, size, filter)
    }

    /// The whole photo resized to `size` by Pillow's `LANCZOS`.
    #[cfg(feature = "audit")]
    pub(crate) fn lanczos(&self, size: [usize; 2]) -> Result<Vec<u8>> {
        self.filtered(self.region(), size, FilterType::Lanczos3)
    }

    fn filtered(&self, region: Region, size: [usize; 2], filter: FilterType) -> Result<Vec<u8>> {
        let channels = self.channels();
        let pixel = match channels {
            1 => PixelType::U8,
            4 => PixelType::U8x4,
            _ => PixelType::U8x3,
        };
        let bytes = self.height * self.width * channels;
        if ![1, 3, 4].contains(&channels) || self.rgb.len() != bytes {
            return Err(Error::Shape {
                what: "photo".into(),
                expected: format!("({}, {}, 3)", self.height, self.width),
                found: vec![self.rgb.len()],
            });
        }
        let outside = |e: &dyn std::fmt::Display| Error::Invalid {
            what: "resize".into(),
            expected: format!("a region within {}×{} pixels", self.height, self.width),
            found: format!("{region:?} to {size:?} ({e})"),
        };
        let rgb = match channels {
            4 => Cow::Owned(premultiply(&self.rgb)),
            _ => Cow::Borrowed(&self.rgb),
        };
        let from = ImageRef::new(self.width as u32, self.height as u32, &rgb, pixel)
            .map_err(|e| outside(&e))?;
        let from = CroppedImage::new(
            &from,
            region.left as u32,
            region.top as u32,
            region.width as u32,
            region.height as u32,
        )
        .map_err(|e| outside(&e))?;
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(filter))
            .use_alpha(false);
        // Rows first, then columns, as Pillow does (13 turns it round where the height shrinks much more than the width); the
        // resizer by itself takes the other order, and since bytes are rounded and clipped in between, a bicubic edge then
        // differs by more than ten levels.
        let mut resizer = Resizer::new();
        let mut rows = Image::new(size[1] as u32, region.height as u32, pixel);
        resizer
            .resize(&from, &mut rows, &options)
            .map_err(|e| outside(&e))?;
        let mut found = rows;
        if size[0] != region.height {
            let mut to = Image::new(size[1] as u32, size[0] as u32, pixel);
            resizer
                .resize(&found, &mut to, &options)
                .map_err(|e| outside(&e))?;
            found = to;
        }
        Ok(match channels {
            4 => divide(found.into_vec()),
            _ => found.into_vec(),
        })
    }
}
