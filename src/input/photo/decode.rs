//! Photos from files: decode, orient, resize. Needs the feature `image`.

use super::Interpolation;
use super::budget::{MAX_MEMORY, Room};
use super::channels::{divide, premultiply};
use super::file::PhotoFile;
use super::jpeg::{self, Jpeg};
use super::png::{self, Png};
use crate::error::{Error, Result};
use crate::io::recognise::what_instead_of_photo;
use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use std::borrow::Cow;
use std::path::Path;

/// The longest side of a photo, in pixels; a longer one is refused before anything is allocated.
pub const MAX_SIDE: u32 = 16_384;
/// The most bytes of a decoded photo, and of its file; more are refused before anything is allocated.
pub const MAX_BYTES: u64 = 512 << 20;
/// The shortest side of a photo, in pixels: below it there is nothing to recognise, and the file is probably broken.
pub const MIN_SIDE: u32 = 8;

/// A decoded, upright photo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Red, green and blue of each pixel, row by row: `height · width · 3` bytes. Grey alone, or alpha too, if the photo was read so;
    /// see [`channels`](Self::channels).
    pub rgb: Vec<u8>,
}

/// A rectangle of a photo, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
}

/// A photo whose header has been read and found good.
pub(super) enum Header<'a> {
    Jpeg(Jpeg<'a>),
    Png(Png<'a>),
}

impl<'a> Header<'a> {
    pub(super) fn read(bytes: &'a [u8], channels: usize) -> std::result::Result<Self, String> {
        let header = if bytes.starts_with(jpeg::SIGNATURE) {
            Self::Jpeg(Jpeg::read(bytes, channels)?)
        } else if bytes.starts_with(png::SIGNATURE) {
            Self::Png(Png::read(bytes, channels)?)
        } else {
            return Err(match what_instead_of_photo(bytes) {
                Some(found) => format!("JPEG or PNG is needed, the content is {found}"),
                None => "the content is neither JPEG nor PNG".into(),
            });
        };
        let bytes = bytes.len() as u64 + header.memory(channels);
        if bytes > MAX_MEMORY {
            return Err(format!(
                "decoding it takes {} MiB of memory; at most {} MiB are allowed",
                bytes >> 20,
                MAX_MEMORY >> 20
            ));
        }
        Ok(header)
    }

    /// The most bytes at once while it is decoded, the file aside.
    pub(super) fn memory(&self, channels: usize) -> u64 {
        match self {
            Self::Jpeg(jpeg) => jpeg.memory(channels),
            Self::Png(png) => png.memory(channels),
        }
    }

    /// Height and width as stored.
    pub(super) fn sides(&self) -> [usize; 2] {
        match self {
            Self::Jpeg(jpeg) => [jpeg.height, jpeg.width],
            Self::Png(png) => [png.height, png.width],
        }
    }

    pub(super) fn decode(&self, channels: usize) -> std::result::Result<Photo, String> {
        match self {
            Self::Jpeg(jpeg) => jpeg.decode(channels),
            Self::Png(png) => png.decode(channels),
        }
    }
}

impl Photo {
    /// Reads a JPEG or PNG file; see [`decode`](Self::decode).
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, else as [`decode`](Self::decode).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(PhotoFile::read(path.as_ref())?.photo(3, &[])?.release())
    }

    /// Decodes a JPEG or PNG, told apart by content, and turns it upright by its EXIF orientation. `name` is for messages.
    ///
    /// Grey and palette pictures become RGB, 16 bits become 8, CMYK JPEGs are converted. An alpha channel is left out: the
    /// colours are taken as they are stored, as Pillow's `convert("RGB")` does. Colour profiles are not looked at.
    ///
    /// The orientation is EXIF's: of a JPEG's first EXIF segment, or of a PNG's chunk `eXIf`, before or behind the pixels. Its value may be a
    /// SHORT, a BYTE or a LONG, as TIFF 6.0 allows; what is not 1 to 8 is upright. XMP and a PNG's text chunks with raw profiles, which the
    /// specifications do not count as EXIF, are not looked at.
    ///
    /// Memory is taken from one budget of [`MAX_MEMORY`] for all threads, and waited for.
    ///
    /// # Errors
    /// [`Error::Image`] if the bytes are neither JPEG nor PNG, are truncated or broken, or if the picture is smaller than
    /// [`MIN_SIDE`] or larger than [`MAX_SIDE`] or [`MAX_BYTES`], or takes more than [`MAX_MEMORY`].
    pub fn decode(bytes: &[u8], name: &Path) -> Result<Self> {
        Self::decode_as(bytes, name, 3)
    }

    /// The same with 1, 3 or 4 `channels`.
    pub(in crate::input) fn decode_as(bytes: &[u8], name: &Path, channels: usize) -> Result<Self> {
        let fail = |reason: String| refused(name, reason);
        let header = Header::read(bytes, channels).map_err(fail)?;
        let _room = Room::take(header.memory(channels));
        header.decode(channels).map_err(fail)
    }

    /// The whole photo as a region.
    pub fn region(&self) -> Region {
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
    /// [`Error::Shape`] if `rgb` is not `height · width · 3` bytes (or · 1, or · 4), [`Error::Invalid`] if the region does not lie in
    /// the photo.
    pub fn resize(
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

pub(super) fn refused(path: &Path, reason: impl Into<String>) -> Error {
    Error::Image {
        path: path.into(),
        reason: reason.into(),
    }
}

/// Refuses what is too small or too large; `pixel` is the number of bytes of one decoded pixel.
pub(super) fn check_size(width: u32, height: u32, pixel: u64) -> std::result::Result<(), String> {
    let size = format!("{height}×{width} pixels (height × width)");
    let bytes = u64::from(width) * u64::from(height) * pixel;
    if width.min(height) < MIN_SIDE {
        Err(format!("{size}; at least {MIN_SIDE}×{MIN_SIDE} is needed"))
    } else if width.max(height) > MAX_SIDE {
        Err(format!("{size}; at most {MAX_SIDE} a side are allowed"))
    } else if bytes > MAX_BYTES {
        Err(format!(
            "{size}, {} MiB decoded; at most {} MiB are allowed",
            bytes >> 20,
            MAX_BYTES >> 20
        ))
    } else {
        Ok(())
    }
}
