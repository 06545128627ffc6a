//! WebP, TIFF, BMP and GIF, by the crate `image`: the first picture of the file, whole or not at all.
//!
//! WebP's and TIFF's EXIF orientation is obeyed. Of several pictures (an animation, the pages of a TIFF) the first counts. A
//! camera's raw pictures, which are TIFFs with a small copy in front, are refused: the small copy is not the photo.

use super::canvas::Canvas;
use super::limits::check_size;
use super::orientation::{Orientation, is_raw};
use super::pixels::Photo;
use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, tiff::TiffDecoder, webp::WebPDecoder};
use image::{DynamicImage, ImageDecoder, ImageResult, Limits};
use std::io::Cursor;

/// A kind of file, and how its decoder is made.
#[derive(Clone, Copy, Debug)]
enum Kind {
    WebP,
    Tiff,
    Bmp,
    Gif,
}

impl Kind {
    /// By a file's first bytes.
    fn of(bytes: &[u8]) -> Option<Self> {
        let at = |i: usize, mark: &[u8]| bytes.get(i..).is_some_and(|b| b.starts_with(mark));
        if at(0, b"RIFF") && at(8, b"WEBP") {
            Some(Self::WebP)
        } else if at(0, b"II*\0") || at(0, b"MM\0*") {
            Some(Self::Tiff)
        } else if at(0, b"BM") && at(6, &[0; 4]) {
            Some(Self::Bmp)
        } else if at(0, b"GIF8") {
            Some(Self::Gif)
        } else {
            None
        }
    }

    fn decoder<'a>(self, bytes: &'a [u8]) -> ImageResult<Box<dyn ImageDecoder + 'a>> {
        let from = Cursor::new(bytes);
        Ok(match self {
            Self::WebP => Box::new(WebPDecoder::new(from)?),
            Self::Tiff => Box::new(TiffDecoder::new(from)?),
            Self::Bmp => Box::new(BmpDecoder::new(from)?),
            Self::Gif => Box::new(GifDecoder::new(from)?),
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::WebP => "WebP",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
        }
    }
}

/// What is known of such a file before its pixels are decoded.
pub(super) struct Other<'a> {
    kind: Kind,
    bytes: &'a [u8],
    pub(super) width: usize,
    pub(super) height: usize,
    /// Bytes of a pixel as the decoder gives it.
    pixel: u64,
    pub(super) orientation: Orientation,
}

impl<'a> Other<'a> {
    /// Reads the header of a file, if it is one of these by its first bytes; `channels` are those asked for.
    pub(super) fn read(bytes: &'a [u8], channels: usize) -> Option<Result<Self, String>> {
        Some(Self::read_as(Kind::of(bytes)?, bytes, channels))
    }

    fn read_as(kind: Kind, bytes: &'a [u8], channels: usize) -> Result<Self, String> {
        let orientation = match kind {
            Kind::Tiff if is_raw(bytes) => {
                return Err(
                    "the content is a camera's raw picture; convert it to PNG or JPEG".into(),
                );
            }
            Kind::Tiff => Orientation::of_exif(bytes),
            Kind::WebP => {
                check_length(bytes)?;
                Orientation::UPRIGHT
            }
            Kind::Bmp | Kind::Gif => Orientation::UPRIGHT,
        };
        let failed = |e| failed(kind, e);
        let mut decoder = kind.decoder(bytes).map_err(failed)?;
        let (width, height) = decoder.dimensions();
        let pixel = u64::from(decoder.color_type().bytes_per_pixel());
        check_size(width, height, pixel.max(channels as u64))?;
        let orientation = match kind {
            Kind::WebP => {
                let exif = decoder.exif_metadata().map_err(failed)?;
                let block = exif
                    .as_deref()
                    .map(|e| e.strip_prefix(b"Exif\0\0").unwrap_or(e));
                block.map_or(orientation, Orientation::of_exif)
            }
            _ => orientation,
        };
        drop(decoder);
        Ok(Self {
            kind,
            bytes,
            width: width as usize,
            height: height as usize,
            pixel,
            orientation,
        })
    }

    /// The most bytes at once while it is decoded, the file aside: decoders may keep planes or a frame beside what they give, and
    /// a copy is made of it with the channels asked for.
    pub(super) fn memory(&self, channels: usize) -> u64 {
        self.within() + (self.width * self.height * (4 + channels)) as u64
    }

    /// What the decoder may take.
    fn within(&self) -> u64 {
        3 * self.pixel.max(4) * (self.width * self.height) as u64 + (1 << 20)
    }

    pub(super) fn decode(&self, channels: usize) -> Result<Photo, String> {
        let failed = |e| failed(self.kind, e);
        let mut decoder = self.kind.decoder(self.bytes).map_err(failed)?;
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(self.within());
        decoder.set_limits(limits).map_err(failed)?;
        let image = DynamicImage::from_decoder(decoder).map_err(failed)?;
        let rgba = image.into_rgba8();
        let mut canvas = Canvas::new([self.height, self.width], channels, self.orientation);
        for (y, row) in rgba.rows().enumerate() {
            canvas.row(y, 0, 1, row.map(|pixel| pixel.0));
        }
        Ok(canvas.photo())
    }
}

/// A WebP says how long it is; its decoder takes what is missing for zeros.
fn check_length(bytes: &[u8]) -> Result<(), String> {
    let said = bytes.get(4..8).map_or(0, |b| {
        u64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    });
    let (said, found) = (said + 8, bytes.len() as u64);
    if found < said {
        return Err(format!(
            "the WebP is truncated: {said} bytes by its header, found {found}"
        ));
    }
    Ok(())
}

fn failed(kind: Kind, error: image::ImageError) -> String {
    let name = kind.name();
    format!("the {name} is broken, truncated or of an unknown kind: {error}")
}
