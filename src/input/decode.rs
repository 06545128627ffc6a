//! Photos from files: decode, orient, resize. Needs the feature `image`.

use super::Interpolation;
use super::channels::{divide, premultiply};
use crate::error::{Error, Result};
use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::borrow::Cow;
use std::io::Cursor;
use std::path::{Path, PathBuf};

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

/// The bytes of a photo's file, unless there are more than [`MAX_BYTES`].
///
/// # Errors
/// [`Error::Io`] if it cannot be read, [`Error::Image`] if it is a folder or too large.
pub(crate) fn read_photo(path: &Path) -> Result<Vec<u8>> {
    let about = std::fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
    if !about.is_file() {
        return Err(refused(path, "a photo file is needed, found a folder"));
    }
    if about.len() > MAX_BYTES {
        let found = format!("{} bytes; at most {MAX_BYTES} are allowed", about.len());
        return Err(refused(path, found));
    }
    std::fs::read(path).map_err(|e| Error::io("read", path, e))
}

impl Photo {
    /// Reads a JPEG or PNG file; see [`decode`](Self::decode).
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, else as [`decode`](Self::decode).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read_photo(path)?;
        Self::decode(&bytes, path)
    }

    /// Decodes a JPEG or PNG, told apart by content, and turns it upright by its EXIF orientation. `name` is for messages.
    ///
    /// Grey and palette pictures become RGB, 16 bits become 8, CMYK JPEGs are converted. An alpha channel is left out: the
    /// colours are taken as they are stored, as Pillow's `convert("RGB")` does.
    ///
    /// # Errors
    /// [`Error::Image`] if the bytes are neither JPEG nor PNG, are truncated or broken, or if the picture is smaller than
    /// [`MIN_SIDE`] or larger than [`MAX_SIDE`] or [`MAX_BYTES`].
    pub fn decode(bytes: &[u8], name: &Path) -> Result<Self> {
        Self::decode_as(bytes, name, 3)
    }

    /// The same with 1, 3 or 4 `channels`.
    pub(super) fn decode_as(bytes: &[u8], name: &Path, channels: usize) -> Result<Self> {
        let fail = |reason: String| refused(name, reason);
        if bytes.is_empty() {
            return Err(fail("the file is empty (0 bytes)".into()));
        }
        let format = match image::guess_format(bytes) {
            Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => format,
            Ok(other) => {
                return Err(fail(format!(
                    "JPEG or PNG is needed, the content is {other:?}"
                )));
            }
            Err(_) => return Err(fail("the content is neither JPEG nor PNG".into())),
        };
        // The PNG decoder allocates rows when it is made, so its size is looked up before.
        if let (ImageFormat::Png, Some(size)) = (format, bytes.get(16..24)) {
            let side =
                |i: usize| u32::from_be_bytes([size[i], size[i + 1], size[i + 2], size[i + 3]]);
            check_size(side(0), side(4), 1).map_err(fail)?;
        }
        // The JPEG decoder fills what is missing with grey and says nothing, so a missing end is looked for here.
        if format == ImageFormat::Jpeg && !jpeg_has_end(bytes) {
            return Err(fail(format!(
                "the JPEG is truncated: its {} bytes hold no end-of-image marker",
                bytes.len()
            )));
        }
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(MAX_BYTES);
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits);
        let broken = |e: image::ImageError| refused(name, e.to_string());
        let mut decoder = reader.into_decoder().map_err(broken)?;
        let (width, height) = decoder.dimensions();
        let pixel = u64::from(decoder.color_type().bytes_per_pixel()).max(channels.max(3) as u64);
        check_size(width, height, pixel).map_err(fail)?;
        // A damaged EXIF block does not make the pixels wrong.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
        picture.apply_orientation(orientation);
        let photo = Self {
            height: picture.height() as usize,
            width: picture.width() as usize,
            rgb: match channels {
                4 => picture.into_rgba8().into_raw(),
                _ => picture.into_rgb8().into_raw(),
            },
        };
        Ok(photo.with_channels(channels).into_owned())
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

/// The JPEG and PNG files below `folder`, by the ends of their names, sorted. Hidden files and folders and linked folders are
/// passed over.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be listed.
pub fn find_images(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.as_ref().to_path_buf()];
    while let Some(folder) = folders.pop() {
        let failed = |e| Error::io("list", &folder, e);
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(entry.path());
            } else if is_image_name(&entry.path()) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a file's name ends as that of a JPEG or PNG, in either case.
pub fn is_image_name(path: &Path) -> bool {
    let end = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    ["jpg", "jpeg", "png"]
        .iter()
        .any(|e| end.eq_ignore_ascii_case(e))
}

fn refused(path: &Path, reason: impl Into<String>) -> Error {
    Error::Image {
        path: path.into(),
        reason: reason.into(),
    }
}

/// Refuses what is too small or too large; `pixel` is the number of bytes of one decoded pixel.
fn check_size(width: u32, height: u32, pixel: u64) -> std::result::Result<(), String> {
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

/// Whether the end-of-image marker is reached when the segments are walked. Within compressed data, FF is followed by 0 or a
/// restart marker, and an embedded thumbnail lies inside a segment, so neither is taken for the end.
fn jpeg_has_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        let rest = bytes.get(at..).unwrap_or(&[]);
        let Some(mark) = rest.iter().position(|b| *b == 0xFF) else {
            return false;
        };
        at += mark;
        while bytes.get(at) == Some(&0xFF) {
            at += 1;
        }
        let Some(kind) = bytes.get(at) else {
            return false;
        };
        at += 1;
        match kind {
            0xD9 => return true,
            // Stuffing and the markers that carry no length.
            0x00 | 0x01 | 0xD0..=0xD8 => {}
            _ => match bytes.get(at..at + 2) {
                Some(length) => at += usize::from(u16::from_be_bytes([length[0], length[1]])),
                None => return false,
            },
        }
    }
}
