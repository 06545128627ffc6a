//! Baseline and extended sequential scans (T.81, F.2): each block is decoded once, straight into its component's samples.

use crate::Error;
use crate::bits::Bits;
use crate::entropy::{self, Units};
use crate::error::Fault;
use crate::frame::Frame;
use crate::header::State;
use crate::huffman::Table;
use crate::idct;
use crate::planes::Plane;
use crate::scan::{Scan, ZIGZAG, limit, steps, tables};

/// A component's part in the scan.
struct Part<'t> {
    dc: &'t Table,
    ac: &'t Table,
    /// Step and largest value of each coefficient.
    scale: [(i32, i32); 64],
    h: usize,
    v: usize,
    plane: Plane,
    last: i32,
}

struct Sequential<'t> {
    parts: Vec<Part<'t>>,
}

impl Part<'_> {
    /// Decodes a block (T.81, F.2.2) and writes its samples.
    #[inline(always)]
    fn block(&mut self, bits: &mut Bits<'_>, at: usize) -> Result<(), Fault> {
        let mut out = [0i16; 64];
        bits.fill();
        let (size, difference) = self.dc.pair(bits)?;
        if size > 11 {
            return Err(Fault::Symbol);
        }
        self.last += difference;
        let (step, most) = self.scale[0];
        if self.last.abs() > most {
            return Err(Fault::Range);
        }
        out[0] = (self.last * step) as i16;
        let mut k = 1;
        let mut seen = 0;
        while k < 64 {
            bits.fill();
            let (symbol, value) = self.ac.pair(bits)?;
            if symbol & 15 == 0 {
                match symbol {
                    0x00 => break,
                    0xF0 => k += 16,
                    _ => return Err(Fault::Symbol),
                }
                continue;
            }
            k += usize::from(symbol >> 4);
            let Some(&(step, most)) = self.scale.get(k) else {
                return Err(Fault::Index);
            };
            if value.abs() > most {
                return Err(Fault::Range);
            }
            let place = ZIGZAG[k] & 63;
            out[usize::from(place)] = (value * step) as i16;
            seen |= place;
            k += 1;
        }
        if k > 64 {
            return Err(Fault::Index);
        }
        let stride = self.plane.stride;
        idct::block(&out, seen, &mut self.plane.data, at, stride);
        Ok(())
    }
}

impl Units for Sequential<'_> {
    fn restart(&mut self) {
        for part in &mut self.parts {
            part.last = 0;
        }
    }

    fn unit(&mut self, bits: &mut Bits<'_>, row: usize, column: usize) -> Result<(), Fault> {
        for part in &mut self.parts {
            for v in 0..part.v {
                for h in 0..part.h {
                    let at = part.plane.at(row * part.v + v, column * part.h + h);
                    part.block(bits, at)?;
                }
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Decodes a scan into new planes, and gives where its data end.
pub(crate) fn decode(
    bytes: &[u8],
    pos: usize,
    frame: &Frame,
    state: &State<'_>,
    scan: &Scan,
    planes: &mut [Option<Plane>],
) -> Result<usize, Error> {
    let ac = scan.specs(state, false)?;
    let no_zeros = ac
        .iter()
        .any(|spec| spec.first().is_some_and(|symbol| symbol != 0));
    let (dc, ac) = (tables(&scan.specs(state, true)?), tables(&ac));
    let mut parts = Vec::new();
    for (i, part) in scan.parts.iter().enumerate() {
        let component = &frame.components[part.index];
        if planes[part.index].is_some() {
            return Err(Error::Damaged(format!(
                "component {} is sent twice",
                component.id
            )));
        }
        let steps = steps(state, component)?;
        let (h, v) = if scan.alone() {
            (1, 1)
        } else {
            (component.h, component.v)
        };
        parts.push(Part {
            dc: &dc[i],
            ac: &ac[i],
            scale: steps.map(|step| (i32::from(step), limit(step))),
            h,
            v,
            plane: Plane::new(component)?,
            last: 0,
        });
    }
    let mut units = Sequential { parts };
    let end = entropy::decode(
        bytes,
        pos,
        &scan.layout(frame, state.restart, no_zeros),
        &mut units,
    )?;
    for (part, sent) in units.parts.into_iter().zip(&scan.parts) {
        planes[sent.index] = Some(part.plane);
    }
    Ok(end)
}
