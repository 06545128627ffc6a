//! What a progressive picture sends is kept, in zigzag order, until the last coefficient has been sent to its last bit.

use crate::Error;
use crate::error::Fault;
use crate::frame::{Component, Frame};
use crate::pixels::Pixels;
use crate::planes::{Plane, reserved};
use crate::scan::{Scan, ZIGZAG, limit};
use crate::upsample::Lines;

pub(crate) type Block = [i16; 64];

/// A component's coefficients.
pub(crate) struct Stored {
    pub(crate) blocks: Vec<Block>,
    /// The lowest bit of each coefficient that has been sent.
    sent: [Option<u8>; 64],
    /// As they were at the component's first scan.
    pub(crate) steps: Option<[u16; 64]>,
}

impl Stored {
    fn new(component: &Component) -> Result<Self, Error> {
        let length = component.padded_across * component.padded_down;
        let mut blocks = reserved(length)?;
        blocks.resize(length, [0; 64]);
        Ok(Self {
            blocks,
            sent: [None; 64],
            steps: None,
        })
    }

    /// Checks that a scan continues what was sent (T.81, G.1.1.1), and notes what it will have sent.
    pub(crate) fn send(&mut self, scan: &Scan, component: &Component) -> Result<(), Error> {
        let expected = if scan.high == 0 {
            None
        } else {
            Some(scan.high)
        };
        for k in scan.first..=scan.last {
            if self.sent[k] != expected || (k > 0 && self.sent[0].is_none()) {
                return Err(Error::Damaged(format!(
                    "a scan sends bits {} and up of coefficient {k} of component {} out of order",
                    scan.low, component.id
                )));
            }
            self.sent[k] = Some(scan.low);
        }
        Ok(())
    }

    /// The steps, if all has been sent.
    fn steps(&self, component: &Component) -> Result<[u16; 64], Error> {
        let missing = self.sent.iter().filter(|&&low| low != Some(0)).count();
        match self.steps {
            Some(steps) if missing == 0 => Ok(steps),
            _ => Err(Error::Truncated(format!(
                "the last scans are missing: {missing} of the 64 coefficients of component {} were not sent whole",
                component.id
            ))),
        }
    }

    /// The samples of a row of blocks.
    fn samples(
        &self,
        row: usize,
        scale: &[(u16, i32); 64],
        component: &Component,
        plane: &mut Plane,
    ) -> Result<(), Fault> {
        let start = row * component.padded_across;
        let blocks = &self.blocks[start..start + component.blocks_across];
        for (column, block) in blocks.iter().enumerate() {
            let mut out = [0i16; 64];
            let (mut beyond, mut seen) = (false, 0);
            for ((&value, &(step, most)), &place) in block.iter().zip(scale).zip(&ZIGZAG) {
                let value = i32::from(value);
                beyond |= value.abs() > most;
                seen |= if value != 0 { place & 63 } else { 0 };
                out[usize::from(place & 63)] = value.wrapping_mul(i32::from(step)) as i16;
            }
            if beyond {
                return Err(Fault::Range);
            }
            let at = plane.at(row, column);
            plane.write(&out, seen, at);
        }
        Ok(())
    }
}

/// All components' coefficients, before anything is sent.
pub(crate) fn store(frame: &Frame) -> Result<Vec<Stored>, Error> {
    frame.components.iter().map(Stored::new).collect()
}

/// The pixels, row by row.
pub(crate) fn finish(stored: &[Stored], frame: &Frame, pixels: &mut Pixels) -> Result<(), Error> {
    let (mut scales, mut lines) = (Vec::new(), Vec::new());
    for (stored, component) in stored.iter().zip(&frame.components) {
        scales.push(stored.steps(component)?.map(|step| (step, limit(step))));
        lines.push(Lines::new(
            Plane::latest(component, frame)?,
            component,
            frame,
        ));
    }
    for unit in 0..frame.units_down {
        for (i, component) in frame.components.iter().enumerate() {
            let rows = unit * component.v..(unit + 1) * component.v;
            for row in rows.start..rows.end.min(component.blocks_down) {
                stored[i]
                    .samples(row, &scales[i], component, &mut lines[i].plane)
                    .map_err(|fault| {
                        let line = (8 * row * frame.max_v / component.v + 1).min(frame.height);
                        Error::Damaged(format!(
                            "{} in row {line} of {}",
                            fault.words(),
                            frame.height
                        ))
                    })?;
            }
        }
        pixels.above((unit + 1) * frame.block * frame.max_v, &mut lines);
    }
    pixels.finish(&mut lines);
    Ok(())
}
