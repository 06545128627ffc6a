//! PNG, whole or not at all: the chunks are walked and checked, and what is decoded goes row by row to its place. Nothing but the
//! photo, a few rows and a window of 32 KiB is kept, and no chunk is inflated but the pixels.
//!
//! Refused: a wrong checksum in a chunk that is used (all critical ones, `tRNS`, `eXIf`) or at the end of the pixels, missing
//! rows, a missing end chunk, critical chunks that are not known, pixels in several places. Passed over, as libpng does: what is
//! surplus behind the pixels and behind the end chunk. Of an animation the still picture counts.
//! `eXIf` is obeyed wherever it stands: behind the pixels its meaning is the same. Text chunks such as `Raw profile type exif`
//! are not part of the specification and are not looked at, nor are colour profiles.

use super::canvas::Canvas;
use super::inflate::Inflate;
use super::limits::check_size;
use super::orientation::Orientation;
use super::pixels::Photo;
use super::png_chunk::Chunk;
use super::png_pixels::{Pixels, unfilter};

pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// First column, first row, and the steps of each, of the seven pictures of an interlaced one.
const ADAM7: [[usize; 4]; 7] = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
];

/// Deflate makes at most 1032 bytes of one.
const BEST_RATIO: u64 = 1032;

/// What is known of a PNG before its pixels are decoded.
pub(super) struct Png<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    interlaced: bool,
    /// Bytes of all rows, inflated.
    raw: u64,
    pixels: Pixels<'a>,
    pub(super) orientation: Orientation,
    /// From the first chunk of pixels on.
    data: &'a [u8],
}

impl<'a> Png<'a> {
    /// Walks the chunks of a file that begins with [`SIGNATURE`]; `channels` are those asked for.
    pub(super) fn read(bytes: &'a [u8], channels: usize) -> Result<Self, String> {
        let mut rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
        let cut = || {
            format!(
                "the PNG is truncated: its {} bytes hold no end chunk (IEND)",
                bytes.len()
            )
        };
        let first = Chunk::next(&mut rest).ok_or_else(cut)?;
        let (
            &[
                w0,
                w1,
                w2,
                w3,
                h0,
                h1,
                h2,
                h3,
                depth,
                colour,
                packing,
                filter,
                interlaced,
            ],
            b"IHDR",
        ) = (first.data, &first.name)
        else {
            return Err("the PNG is broken: its first chunk is no header (IHDR)".into());
        };
        first.check()?;
        let (width, height) = (
            u32::from_be_bytes([w0, w1, w2, w3]),
            u32::from_be_bytes([h0, h1, h2, h3]),
        );
        check_size(width, height, channels as u64)?;
        if (packing, filter) != (0, 0) || interlaced > 1 {
            return Err(format!(
                "the PNG is of an unknown kind: compression {packing}, filter {filter}, interlace {interlaced}; 0, 0 and 0 or 1 are known"
            ));
        }
        let mut png = Self {
            width: width as usize,
            height: height as usize,
            interlaced: interlaced == 1,
            raw: 0,
            pixels: Pixels::new(colour, depth)?,
            orientation: Orientation::UPRIGHT,
            data: &[],
        };
        let mut oriented = false;
        let (mut packed, mut between) = (0u64, false);
        loop {
            let here = rest;
            let chunk = Chunk::next(&mut rest).ok_or_else(cut)?;
            let critical = chunk.name[0] & 0x20 == 0;
            if critical || [*b"tRNS", *b"eXIf"].contains(&chunk.name) {
                chunk.check()?;
            }
            between |= packed > 0 && chunk.name != *b"IDAT";
            match &chunk.name {
                b"IEND" => break,
                b"IDAT" if between => {
                    return Err(
                        "the PNG is broken: its pixels (IDAT) stand in several places".into(),
                    );
                }
                b"IDAT" => {
                    if png.data.is_empty() {
                        png.data = here;
                    }
                    packed += chunk.data.len() as u64;
                }
                b"PLTE" if png.data.is_empty() => png.pixels.palette = chunk.data,
                b"tRNS" if png.data.is_empty() => png.pixels.clear = chunk.data,
                b"eXIf" if !oriented => {
                    oriented = true;
                    let block = chunk.data.strip_prefix(b"Exif\0\0").unwrap_or(chunk.data);
                    png.orientation = Orientation::of_exif(block);
                }
                b"PLTE" | b"tRNS" | b"eXIf" => {}
                _ if critical => {
                    return Err(format!(
                        "the PNG is broken or of an unknown kind: the meaning of its chunk {} is not known",
                        chunk.named()
                    ));
                }
                _ => {}
            }
        }
        png.pixels.check()?;
        png.raw = png
            .passes()
            .map(|(_, [h, w])| h as u64 * (1 + png.pixels.row_bytes(w) as u64))
            .sum();
        if packed * BEST_RATIO < png.raw {
            return Err(format!(
                "the PNG is truncated or its header wrong: {packed} bytes of pixels (IDAT) cannot hold {height}×{width} pixels (height × width)"
            ));
        }
        Ok(png)
    }

    /// The most bytes at once while it is decoded, the file aside.
    pub(super) fn memory(&self, channels: usize) -> u64 {
        let row = self.pixels.row_bytes(self.width);
        (self.width * self.height * channels + 2 * row + Inflate::memory(row)) as u64
    }

    /// Where the pictures of which it is made lie, and the height and width of each that is not empty.
    fn passes(&self) -> impl Iterator<Item = ([usize; 4], [usize; 2])> + use<> {
        let (passes, height, width): (&[_], _, _) = if self.interlaced {
            (&ADAM7, self.height, self.width)
        } else {
            (&[[0, 0, 1, 1]], self.height, self.width)
        };
        passes.iter().filter_map(move |pass| {
            let [x, y, dx, dy] = *pass;
            let w = width.saturating_sub(x).div_ceil(dx);
            let h = height.saturating_sub(y).div_ceil(dy);
            (w > 0 && h > 0).then_some((*pass, [h, w]))
        })
    }

    pub(super) fn decode(&self, channels: usize) -> Result<Photo, String> {
        let mut canvas = Canvas::new([self.height, self.width], channels, self.orientation);
        let longest = self.pixels.row_bytes(self.width);
        let mut inflate = Inflate::new(self.data, 1 + longest);
        let (mut row, mut above) = (vec![0; 1 + longest], vec![0; longest]);
        let step = self.pixels.filter_step();
        for ([x, y, dx, dy], [height, width]) in self.passes() {
            let bytes = self.pixels.row_bytes(width);
            above.fill(0);
            for i in 0..height {
                inflate.fill(&mut row[..1 + bytes])?;
                let (filter, now) = row[..1 + bytes].split_at_mut(1);
                unfilter(filter[0], now, &above[..bytes], step)?;
                self.pixels
                    .place(now, width, &mut canvas, [y + i * dy, x, dx]);
                above[..bytes].copy_from_slice(now);
            }
        }
        inflate.finish(self.raw)?;
        Ok(canvas.photo())
    }
}
