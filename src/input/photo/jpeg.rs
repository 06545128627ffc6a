//! JPEG: what its header says, and its pixels upright with the channels asked for, at a fraction of its size where those who look
//! at it ask for no more. The decoder is `hydranet-jpeg`: exactly libjpeg-turbo's pixels, and no picture of which something is
//! missing.
//!
//! The first EXIF block (APP1) before the pixels gives the orientation.

use super::canvas::Canvas;
use super::limits::check_size;
use super::orientation::Orientation;
use super::pixels::{Photo, Region};
use super::reduction::{part, reduction};
use crate::input::spec::InputSpec;
use hydranet_jpeg::Reduction;

pub(super) const SIGNATURE: &[u8] = &[0xFF, 0xD8, 0xFF];

/// What is known of a JPEG before its pixels are decoded.
pub(super) struct Jpeg<'a> {
    bytes: &'a [u8],
    /// Height and width, as stored.
    pub(super) stored: [usize; 2],
    reduction: Reduction,
    /// Height and width of what is decoded of it.
    decoded: [usize; 2],
    /// The part of that, upright, that is looked at; none: all of it.
    part: Option<Region>,
    /// Bytes that decoding takes.
    memory: u64,
    /// Channels that it gives.
    found: usize,
    pub(super) orientation: Orientation,
}

impl<'a> Jpeg<'a> {
    /// Reads the header of a file that begins with [`SIGNATURE`]; `channels` are those asked for, `inputs` look at it.
    pub(super) fn read(
        bytes: &'a [u8],
        channels: usize,
        inputs: &[InputSpec],
    ) -> Result<Self, String> {
        let header = hydranet_jpeg::read_header(bytes).map_err(|e| e.to_string())?;
        let found = match header.components {
            1 => 1,
            _ => 3,
        };
        check_size(header.width, header.height, found.max(channels) as u64)?;
        let exif = header.exif;
        let orientation = exif.map_or(Orientation::UPRIGHT, Orientation::of_exif);
        let stored = [header.height as usize, header.width as usize];
        let upright = orientation.size(stored[0], stored[1]);
        let reduction = reduction(inputs, upright);
        // Of a whole photo everyone cuts out their part themselves.
        let reduced = reduction != Reduction::Whole;
        let cutting = inputs
            .first()
            .filter(|input| reduced && input.crop.is_some());
        let part = cutting.map(|input| {
            let looked = input.middle(upright[0], upright[1]);
            part(looked, upright, reduction, orientation)
        });
        Ok(Self {
            bytes,
            stored,
            reduction,
            decoded: [header.height, header.width].map(|side| reduction.side(side) as usize),
            part,
            memory: hydranet_jpeg::memory(&header, reduction),
            found,
            orientation,
        })
    }

    /// Height and width of the photo that is decoded, as stored, or upright where it is cut.
    pub(super) fn sides(&self) -> [usize; 2] {
        self.part
            .map_or(self.decoded, |part| [part.height, part.width])
    }

    /// Whether what the decoder gives is the photo already.
    fn is_ready(&self, channels: usize) -> bool {
        self.found == channels && self.orientation == Orientation::UPRIGHT
    }

    /// The most bytes at once while it is decoded, the file aside.
    pub(super) fn memory(&self, channels: usize) -> u64 {
        let pixels = (self.decoded[0] * self.decoded[1]) as u64;
        // The decoder's planes are gone when the copy is made.
        let copied = if self.is_ready(channels) {
            0
        } else {
            (self.found + channels) as u64 * pixels
        };
        self.memory.max(copied)
    }

    pub(super) fn decode(&self, channels: usize) -> Result<Photo, String> {
        let mut photo = self.upright(channels)?;
        if let Some(part) = self.part {
            photo.cut(part);
        }
        Ok(photo)
    }

    fn upright(&self, channels: usize) -> Result<Photo, String> {
        let picture =
            hydranet_jpeg::decode_reduced(self.bytes, self.reduction).map_err(|e| e.to_string())?;
        let [height, width] = self.decoded;
        if self.is_ready(channels) {
            return Ok(Photo {
                height,
                width,
                rgb: picture.data,
            });
        }
        let mut canvas = Canvas::new(self.decoded, channels, self.orientation);
        for (y, row) in picture.data.chunks_exact(width * self.found).enumerate() {
            let pixel = |p: &[u8]| match *p {
                [r, g, b, ..] => [r, g, b, 255],
                _ => [p[0], p[0], p[0], 255],
            };
            canvas.row(y, 0, 1, row.chunks_exact(self.found).map(pixel));
        }
        Ok(canvas.photo())
    }
}
