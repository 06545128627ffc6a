//! What a progressive picture sends is kept, in zigzag order, until the last coefficient has been sent to its last bit.

use crate::Error;
use crate::error::Fault;
use crate::frame::{Component, Frame};
use crate::idct;
use crate::planes::Plane;
use crate::scan::{Scan, ZIGZAG, limit};

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
        let mut blocks = Vec::new();
        let length = component.padded_across * component.padded_down;
        blocks
            .try_reserve_exact(length)
            .map_err(|_| Error::Memory(128 * length as u64))?;
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

    /// The samples, if all has been sent.
    fn plane(&self, component: &Component, frame: &Frame) -> Result<Plane, Error> {
        let missing = self.sent.iter().filter(|&&low| low != Some(0)).count();
        let steps = match self.steps {
            Some(steps) if missing == 0 => steps,
            _ => {
                return Err(Error::Truncated(format!(
                    "the last scans are missing: {missing} of the 64 coefficients of component {} were not sent whole",
                    component.id
                )));
            }
        };
        let limits = steps.map(limit);
        let mut plane = Plane::new(component)?;
        let stride = plane.stride;
        for row in 0..component.blocks_down {
            for column in 0..component.blocks_across {
                let block = &self.blocks[row * component.padded_across + column];
                let mut out = [0i16; 64];
                let (mut beyond, mut seen) = (false, 0);
                for k in 0..64 {
                    let value = i32::from(block[k]);
                    beyond |= value.abs() > limits[k];
                    let place = ZIGZAG[k] & 63;
                    seen |= if value != 0 { place } else { 0 };
                    out[usize::from(place)] = value.wrapping_mul(i32::from(steps[k])) as i16;
                }
                if beyond {
                    let line = (8 * row * frame.max_v / component.v + 1).min(frame.height);
                    return Err(Error::Damaged(format!(
                        "{} in row {line} of {}",
                        Fault::Range.words(),
                        frame.height
                    )));
                }
                let at = plane.at(row, column);
                idct::block(&out, seen, &mut plane.data, at, stride);
            }
        }
        Ok(plane)
    }
}

/// All components' coefficients, before anything is sent.
pub(crate) fn store(frame: &Frame) -> Result<Vec<Stored>, Error> {
    frame.components.iter().map(Stored::new).collect()
}

/// The samples of all components, each freed of its coefficients as it is done.
pub(crate) fn finish(stored: Vec<Stored>, frame: &Frame) -> Result<Vec<Option<Plane>>, Error> {
    stored
        .into_iter()
        .zip(&frame.components)
        .map(|(stored, component)| stored.plane(component, frame).map(Some))
        .collect()
}
