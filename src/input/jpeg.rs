//! JPEG: what its header says, and the decoder.
//!
//! The first EXIF block (APP1) before the pixels gives the orientation.

use super::canvas::Canvas;
use super::orientation::Orientation;
use super::{Photo, decode::check_size};
use image::codecs::jpeg::JpegDecoder;
use image::{ColorType, ImageDecoder};
use std::io::Cursor;

pub(super) const SIGNATURE: &[u8] = &[0xFF, 0xD8, 0xFF];

/// What is known of a JPEG before its pixels are decoded.
pub(super) struct Jpeg<'a> {
    bytes: &'a [u8],
    pub(super) width: usize,
    pub(super) height: usize,
    progressive: bool,
    /// Samples of all components, whole blocks of 8×8.
    samples: u64,
    components: usize,
    orientation: Orientation,
}

impl<'a> Jpeg<'a> {
    /// Walks the segments up to the pixels of a file that begins with [`SIGNATURE`]; `channels` are those asked for.
    pub(super) fn read(bytes: &'a [u8], channels: usize) -> Result<Self, String> {
        let truncated = || {
            format!(
                "the JPEG is truncated: its {} bytes hold no end-of-image marker",
                bytes.len()
            )
        };
        let (mut at, mut orientation, mut frame) = (2, None, None);
        loop {
            let (kind, data) = segment(bytes, &mut at).ok_or_else(truncated)?;
            match kind {
                0xD9 => break,
                0xE1 if orientation.is_none() => {
                    orientation = data.strip_prefix(b"Exif\0\0").map(Orientation::of_exif);
                }
                0xC0..=0xCF if ![0xC4, 0xC8, 0xCC].contains(&kind) && frame.is_none() => {
                    frame = Some(Frame::read(kind, data)?);
                }
                0xDA => break,
                _ => {}
            }
        }
        let frame = frame.ok_or("the JPEG is broken: no frame header stands before its pixels")?;
        check_size(
            frame.width,
            frame.height,
            frame.components.max(channels) as u64,
        )?;
        let jpeg = Self {
            bytes,
            width: frame.width as usize,
            height: frame.height as usize,
            progressive: frame.progressive,
            samples: frame.samples,
            components: frame.components,
            orientation: orientation.unwrap_or(Orientation::UPRIGHT),
        };
        // Every block takes a bit at least.
        if !has_end(bytes, at) || jpeg.samples / 64 > 8 * bytes.len() as u64 {
            return Err(truncated());
        }
        Ok(jpeg)
    }

    /// Whether what the decoder gives is the photo already.
    fn is_ready(&self, found: usize, channels: usize) -> bool {
        found == channels && self.orientation == Orientation::UPRIGHT
    }

    /// The most bytes at once while it is decoded, the file aside.
    pub(super) fn memory(&self, channels: usize) -> u64 {
        let pixels = (self.width * self.height) as u64;
        let found = if self.components == 1 { 1 } else { 3 };
        let copy = match self.is_ready(found, channels) {
            true => 0,
            false => channels as u64 * pixels,
        };
        // A progressive one's coefficients are kept, of two bytes each. The decoder copies the file.
        let kept = if self.progressive {
            2 * self.samples
        } else {
            0
        };
        found as u64 * pixels + kept.max(copy) + self.bytes.len() as u64
    }

    pub(super) fn decode(&self, channels: usize) -> Result<Photo, String> {
        let broken = |e: image::ImageError| e.to_string();
        let decoder = JpegDecoder::new(Cursor::new(self.bytes)).map_err(broken)?;
        let (width, height) = decoder.dimensions();
        if (width as usize, height as usize) != (self.width, self.height) {
            return Err(format!(
                "the JPEG is broken: two frame headers say {}×{} and {height}×{width} pixels (height × width)",
                self.height, self.width
            ));
        }
        let found = match decoder.color_type() {
            ColorType::L8 => 1,
            _ => 3,
        };
        let mut rgb = vec![0; self.width * self.height * found];
        decoder.read_image(&mut rgb).map_err(broken)?;
        if self.is_ready(found, channels) {
            return Ok(Photo {
                height: self.height,
                width: self.width,
                rgb,
            });
        }
        let mut canvas = Canvas::new([self.height, self.width], channels, self.orientation);
        for (y, row) in rgb.chunks_exact(self.width * found).enumerate() {
            let pixel = |p: &[u8]| match *p {
                [r, g, b, ..] => [r, g, b, 255],
                _ => [p[0], p[0], p[0], 255],
            };
            canvas.row(y, 0, 1, row.chunks_exact(found).map(pixel));
        }
        Ok(canvas.photo())
    }
}

struct Frame {
    width: u32,
    height: u32,
    components: usize,
    samples: u64,
    progressive: bool,
}

impl Frame {
    fn read(kind: u8, data: &[u8]) -> Result<Self, String> {
        let what = match kind {
            0xC3 | 0xC7 | 0xCB | 0xCF => Some("lossless"),
            0xC9..=0xCE => Some("arithmetic-coded"),
            0xC5 | 0xC6 => Some("hierarchical"),
            _ if data.first().is_some_and(|bits| *bits != 8) => Some("12-bit"),
            _ => None,
        };
        if let Some(what) = what {
            return Err(format!(
                "it is a {what} JPEG; baseline and progressive ones of 8 bits are read: convert it, say to PNG"
            ));
        }
        let short = "the JPEG is broken: its frame header is cut short";
        let &[_, h0, h1, w0, w1, count, ref parts @ ..] = data else {
            return Err(short.into());
        };
        let components = usize::from(count);
        let parts = parts.get(..3 * components).ok_or(short)?;
        if ![1, 3, 4].contains(&components) {
            return Err(format!(
                "the JPEG has {components} components a pixel; 1 (grey), 3 (colours) or 4 (CMYK) are read"
            ));
        }
        let (width, height) = (
            u32::from(u16::from_be_bytes([w0, w1])),
            u32::from(u16::from_be_bytes([h0, h1])),
        );
        let sides = |part: &[u8]| [u32::from(part[1] >> 4), u32::from(part[1] & 15)];
        let largest = |i: usize| {
            parts
                .chunks_exact(3)
                .map(|p| sides(p)[i])
                .max()
                .unwrap_or(1)
                .max(1)
        };
        let (most_h, most_v) = (largest(0), largest(1));
        let samples = parts.chunks_exact(3).map(|part| {
            let [h, v] = sides(part);
            let blocks =
                |side: u32, share: u32, most: u32| u64::from((side * share).div_ceil(8 * most));
            64 * blocks(width, h, most_h) * blocks(height, v, most_v)
        });
        Ok(Self {
            width,
            height,
            components,
            samples: samples.sum(),
            progressive: kind == 0xC2,
        })
    }
}

/// The next segment's marker and content, and `at` behind it. Bytes that belong to no segment are passed over.
fn segment<'a>(bytes: &'a [u8], at: &mut usize) -> Option<(u8, &'a [u8])> {
    loop {
        *at += bytes.get(*at..)?.iter().position(|b| *b == 0xFF)?;
        while bytes.get(*at) == Some(&0xFF) {
            *at += 1;
        }
        let kind = *bytes.get(*at)?;
        *at += 1;
        match kind {
            0xD9 => return Some((kind, &[])),
            // Stuffing and the markers that carry no length.
            0x00 | 0x01 | 0xD0..=0xD8 => {}
            _ => {
                let length = bytes.get(*at..*at + 2)?;
                let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                let data = bytes.get(*at + 2..*at + length)?;
                *at += length;
                return Some((kind, data));
            }
        }
    }
}

/// Whether the end-of-image marker is reached when the segments are walked from `at`. Within compressed data, FF is followed by 0 or a
/// restart marker, and an embedded thumbnail lies inside a segment, so neither is taken for the end.
fn has_end(bytes: &[u8], mut at: usize) -> bool {
    loop {
        match segment(bytes, &mut at) {
            Some((0xD9, _)) => return true,
            Some(_) => {}
            None => return false,
        }
    }
}
