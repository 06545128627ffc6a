//! Parts of a photo at another size, pixel for pixel as Pillow makes them.

use super::channels::{divide, premultiply};
use super::pixels::{Photo, Region};
use crate::error::{Error, Result};
use crate::input::spec::Interpolation;
use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3, U8x4};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
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
        let bytes = self.height * self.width * channels;
        if ![1, 3, 4].contains(&channels) || self.rgb.len() != bytes {
            return Err(Error::Shape {
                what: "photo".into(),
                expected: format!("({}, {}, 3)", self.height, self.width),
                found: vec![self.rgb.len()],
            });
        }
        let rgb = match channels {
            4 => Cow::Owned(premultiply(&self.rgb)),
            _ => Cow::Borrowed(&self.rgb),
        };
        let convolve = match channels {
            1 => rows_then_columns::<U8>,
            4 => rows_then_columns::<U8x4>,
            _ => rows_then_columns::<U8x3>,
        };
        let found =
            convolve(&rgb, [self.height, self.width], region, size, filter).map_err(|e| {
                Error::Invalid {
                    what: "resize".into(),
                    expected: format!("a region within {}×{} pixels", self.height, self.width),
                    found: format!("{region:?} to {size:?} ({e})"),
                }
            })?;
        Ok(match channels {
            4 => divide(found),
            _ => found,
        })
    }
}

/// Rows first, then columns, as Pillow does (13 turns it round where the height shrinks much more than the width); the resizer by
/// itself takes the other order, and since bytes are rounded and clipped in between, a bicubic edge then differs by more than ten
/// levels.
fn rows_then_columns<P: PixelTrait>(
    pixels: &[u8],
    [height, width]: [usize; 2],
    region: Region,
    size: [usize; 2],
    filter: FilterType,
) -> Filtered {
    let rows = [region.height, size[1]];
    let found = pass::<P>(pixels, [height, width], region, rows, filter)?;
    if size[0] == region.height {
        return Ok(found);
    }
    let whole = Region {
        top: 0,
        left: 0,
        height: rows[0],
        width: rows[1],
    };
    pass::<P>(&found, rows, whole, size, filter)
}

type Filtered = std::result::Result<Vec<u8>, Box<dyn std::error::Error>>;

/// By the calls that know the type of pixels: the others compile the resizer for all thirteen that it has, here, since it is
/// generic; 22,000 of the 137,000 functions compiled in this library named it then.
fn pass<P: PixelTrait>(
    pixels: &[u8],
    [height, width]: [usize; 2],
    region: Region,
    size: [usize; 2],
    filter: FilterType,
) -> Filtered {
    let from = TypedImageRef::<P>::from_buffer(width as u32, height as u32, pixels)?;
    let from = TypedCroppedImage::from_ref(
        &from,
        region.left as u32,
        region.top as u32,
        region.width as u32,
        region.height as u32,
    )?;
    let mut to = vec![0; size[0] * size[1] * P::size()];
    let mut view = TypedImage::<P>::from_buffer(size[1] as u32, size[0] as u32, &mut to)?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .use_alpha(false);
    Resizer::new().resize_typed(&from, &mut view, &options)?;
    Ok(to)
}
