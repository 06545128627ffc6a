//! The scan header (T.81, B.2.3) and the tables that a scan uses.
//!
//! Sixteen zero bytes in a row are 128 bits that are zero. Where the code of zeros only does not end a block, they would mean
//! dozens of coefficients in a row that are all negative and all of the same few bits, which no picture has: such a stretch was
//! erased. Where it does end blocks (tables made for a flat picture), it is what flat parts look like.

use crate::Error;
use crate::entropy::Layout;
use crate::frame::{Component, Frame};
use crate::header::State;
use crate::huffman::{Spec, Table};

/// A component's part in a scan.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Which of the frame's components.
    pub(crate) index: usize,
    dc: usize,
    ac: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Scan {
    pub(crate) parts: Vec<Part>,
    /// First and last coefficient.
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// The bit that was sent before (0 for none), and the lowest that is sent now.
    pub(crate) high: u8,
    pub(crate) low: u8,
}

impl Scan {
    pub(crate) fn read(frame: &Frame, data: &[u8]) -> Result<Self, Error> {
        let damaged = |what: String| Error::Damaged(format!("a scan header {what}"));
        let count = data.first().map_or(0, |&n| usize::from(n));
        if !(1..=4).contains(&count) || data.len() != 4 + 2 * count {
            return Err(damaged(format!(
                "has {} bytes for {count} components",
                data.len()
            )));
        }
        let mut parts: Vec<Part> = Vec::new();
        for pair in data[1..1 + 2 * count].chunks_exact(2) {
            let (dc, ac) = (usize::from(pair[1] >> 4), usize::from(pair[1] & 15));
            let index = frame
                .components
                .iter()
                .position(|c| c.id == pair[0])
                .ok_or_else(|| {
                    damaged(format!(
                        "names the component {}, which the frame does not have",
                        pair[0]
                    ))
                })?;
            if dc > 3 || ac > 3 {
                return Err(damaged(format!(
                    "names the Huffman tables {dc} and {ac}, 0 to 3 were expected"
                )));
            }
            if parts.iter().any(|p| p.index == index) {
                return Err(damaged(format!("names the component {} twice", pair[0])));
            }
            parts.push(Part { index, dc, ac });
        }
        let blocks: usize = parts
            .iter()
            .map(|p| frame.components[p.index].h * frame.components[p.index].v)
            .sum();
        if count > 1 && blocks > 10 {
            return Err(damaged(format!(
                "puts {blocks} blocks into a unit, at most 10 are allowed"
            )));
        }
        let tail = &data[1 + 2 * count..];
        Ok(Self {
            parts,
            first: usize::from(tail[0]),
            last: usize::from(tail[1]),
            high: tail[2] >> 4,
            low: tail[2] & 15,
        })
    }

    /// Whether one component stands alone, so that a unit is one block.
    pub(crate) fn alone(&self) -> bool {
        self.parts.len() == 1
    }

    pub(crate) fn layout(&self, frame: &Frame, restart: usize, no_zeros: bool) -> Layout {
        let (across, down, lines) = match self.parts.as_slice() {
            [part] => {
                let c: &Component = &frame.components[part.index];
                (c.blocks_across, c.blocks_down, 8 * frame.max_v / c.v)
            }
            _ => (frame.units_across, frame.units_down, 8 * frame.max_v),
        };
        Layout {
            across,
            down,
            restart,
            lines,
            height: frame.height,
            no_zeros,
        }
    }

    /// The tables for the first coefficients and for the others, one of each a part.
    pub(crate) fn specs<'s>(&self, state: &'s State<'_>, dc: bool) -> Result<Vec<&'s Spec>, Error> {
        let (tables, name) = if dc {
            (&state.dc, "DC")
        } else {
            (&state.ac, "AC")
        };
        let number = |part: &Part| if dc { part.dc } else { part.ac };
        let spec = |part: &Part| {
            tables[number(part)].as_ref().ok_or_else(|| {
                Error::Damaged(format!(
                    "a scan uses the {name} Huffman table {}, which the file does not define (frames of Motion JPEG do so)",
                    number(part)
                ))
            })
        };
        self.parts.iter().map(spec).collect()
    }
}

/// Tables ready for decoding.
pub(crate) fn tables(specs: &[&Spec]) -> Vec<Table> {
    specs.iter().map(|spec| spec.table()).collect()
}

/// The steps of a component's coefficients, in zigzag order.
pub(crate) fn steps(state: &State<'_>, component: &Component) -> Result<[u16; 64], Error> {
    state.quant[component.table].ok_or_else(|| {
        Error::Damaged(format!(
            "component {} uses the quantisation table {}, which the file does not define",
            component.id, component.table
        ))
    })
}

/// The largest coefficient that is taken, as a multiple of its step.
///
/// Samples of 8 bits have coefficients up to 1024 (T.81, A.3.3). Some encoders let ringing go beyond white for a better picture,
/// and rounding adds half a step, or a little more where an encoder chooses by cost.
pub(crate) fn limit(step: u16) -> i32 {
    (1280 + 2 * i32::from(step)) / i32::from(step)
}

/// Where the coefficients stand in the block, in the order in which they are sent (T.81, figure A.6).
#[rustfmt::skip]
pub(crate) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49,
    56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];
