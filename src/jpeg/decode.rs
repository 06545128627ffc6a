//! A whole picture.

use crate::Error;
use crate::header::State;
use crate::markers::{self, Markers};
use crate::pixels::Pixels;
use crate::reduction::Reduction;
use crate::scan::Scan;
use crate::upsample::Lines;
use crate::{progressive, sequential, stored};

/// Scans of a progressive picture; encoders make about ten, and the work for a scan does not depend on its bytes alone.
const SCANS: usize = 256;

/// A decoded picture.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Picture {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Bytes of a pixel: 1 (grey) or 3 (red, green, blue).
    pub channels: u8,
    /// The pixels, line after line from the top.
    pub data: Vec<u8>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Picture({} x {}, {} channels)",
            self.width, self.height, self.channels
        )
    }
}

/// Decodes a JPEG to its whole size; see [`decode_reduced`].
///
/// # Errors
///
/// As there.
pub fn decode(bytes: &[u8]) -> Result<Picture, Error> {
    decode_reduced(bytes, Reduction::Whole)
}

/// Decodes a JPEG to its size divided by 1, 2, 4 or 8, a part of a pixel counting as one.
///
/// Grey pictures have one channel, all others three; CMYK is converted as Pillow does it, which takes it for inverted. What
/// follows the end-of-image marker is not looked at. [`memory`](crate::memory) tells beforehand what this takes. A smaller
/// picture is read as strictly as the whole one: what is refused in one size is refused in every size.
///
/// # Errors
///
/// A kind of JPEG that is not supported, missing or damaged data, or a lack of memory.
pub fn decode_reduced(bytes: &[u8], reduction: Reduction) -> Result<Picture, Error> {
    let mut markers = Markers::new(bytes)?;
    let mut state = State::default();
    let mut more = state.advance(&mut markers)?;
    let frame = state.frame()?.clone().reduced(reduction);
    // A block takes a bit at least, and what cannot be whole needs no memory.
    let blocks: usize = frame
        .components
        .iter()
        .map(|c| c.blocks_across * c.blocks_down)
        .sum();
    if blocks / 8 > bytes.len() {
        return Err(Error::Truncated(format!(
            "{} bytes cannot hold its {} x {} pixels",
            bytes.len(),
            frame.width,
            frame.height
        )));
    }
    let mut pixels = Pixels::new(state.space()?, &frame)?;
    let mut found: Vec<Option<Lines>> = frame.components.iter().map(|_| None).collect();
    let mut kept = if frame.progressive {
        stored::store(&frame)?
    } else {
        Vec::new()
    };
    let mut scans = 0;
    while more {
        scans += 1;
        if scans > SCANS {
            return Err(Error::Unsupported(format!(
                "a JPEG of more than {SCANS} scans"
            )));
        }
        let scan = Scan::read(&frame, markers.payload(markers::SOS)?)?;
        markers.pos = if frame.progressive {
            progressive::decode(bytes, markers.pos, &frame, &state, &scan, &mut kept)?
        } else {
            sequential::decode(
                bytes,
                markers.pos,
                &frame,
                &state,
                &scan,
                &mut found,
                &mut pixels,
            )?
        };
        more = state.advance(&mut markers)?;
    }
    if frame.progressive {
        stored::finish(&kept, &frame, &mut pixels)?;
    } else {
        let mut lines = Vec::new();
        for (component, found) in frame.components.iter().zip(found) {
            let missing = || Error::Truncated(format!("component {} was not sent", component.id));
            lines.push(found.ok_or_else(missing)?);
        }
        pixels.finish(&mut lines);
    }
    let [width, height] = frame.decoded();
    Ok(Picture {
        width: width as u32,
        height: height as u32,
        channels: frame.channels() as u8,
        data: pixels.data,
    })
}
