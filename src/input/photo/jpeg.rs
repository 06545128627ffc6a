//! JPEG: what its header says, and its pixels upright with the channels asked for. The decoder is `hydranet-jpeg`: exactly
//! libjpeg-turbo's pixels, and no picture of which something is missing.
//!
//! The first EXIF block (APP1) before the pixels gives the orientation.

use super::canvas::Canvas;
use super::limits::check_size;
use super::orientation::Orientation;
use super::pixels::Photo;

pub(super) const SIGNATURE: &[u8] = &[0xFF, 0xD8, 0xFF];

/// What is known of a JPEG before its pixels are decoded.
pub(super) struct Jpeg<'a> {
    bytes: &'a [u8],
    pub(super) width: usize,
    pub(super) height: usize,
    /// Bytes that decoding takes.
    memory: u64,
    /// Channels that it gives.
    found: usize,
    pub(super) orientation: Orientation,
}

impl<'a> Jpeg<'a> {
    /// Reads the header of a file that begins with [`SIGNATURE`]; `channels` are those asked for.
    pub(super) fn read(bytes: &'a [u8], channels: usize) -> Result<Self, String> {
        let header = hydranet_jpeg::read_header(bytes).map_err(|e| e.to_string())?;
        let found = match header.components {
            1 => 1,
            _ => 3,
        };
        check_size(header.width, header.height, found.max(channels) as u64)?;
        Ok(Self {
            bytes,
            width: header.width as usize,
            height: header.height as usize,
            memory: hydranet_jpeg::memory(&header),
            found,
            orientation: header
                .exif
                .map_or(Orientation::UPRIGHT, Orientation::of_exif),
        })
    }

    /// Whether what the decoder gives is the photo already.
    fn is_ready(&self, channels: usize) -> bool {
        self.found == channels && self.orientation == Orientation::UPRIGHT
    }

    /// The most bytes at once while it is decoded, the file aside.
    pub(super) fn memory(&self, channels: usize) -> u64 {
        let pixels = (self.width * self.height) as u64;
        // The decoder's planes are gone when the copy is made.
        let copied = if self.is_ready(channels) {
            0
        } else {
            (self.found + channels) as u64 * pixels
        };
        self.memory.max(copied)
    }

    pub(super) fn decode(&self, channels: usize) -> Result<Photo, String> {
        let picture = hydranet_jpeg::decode(self.bytes).map_err(|e| e.to_string())?;
        if self.is_ready(channels) {
            return Ok(Photo {
                height: self.height,
                width: self.width,
                rgb: picture.data,
            });
        }
        let mut canvas = Canvas::new([self.height, self.width], channels, self.orientation);
        for (y, row) in picture
            .data
            .chunks_exact(self.width * self.found)
            .enumerate()
        {
            let pixel = |p: &[u8]| match *p {
                [r, g, b, ..] => [r, g, b, 255],
                _ => [p[0], p[0], p[0], 255],
            };
            canvas.row(y, 0, 1, row.chunks_exact(self.found).map(pixel));
        }
        Ok(canvas.photo())
    }
}
