//! Baseline and extended sequential scans (T.81, F.2): each block is decoded once, straight into its component's samples. A scan
//! of all components, as most files have, is turned into pixels row by row, so that its samples stay in the cache.

use crate::Error;
use crate::bits::Bits;
use crate::entropy::{self, Units};
use crate::error::Fault;
use crate::frame::Frame;
use crate::header::State;
use crate::huffman::Table;
use crate::pixels::Pixels;
use crate::planes::Plane;
use crate::scan::{Scan, ZIGZAG, limit, steps, tables};
use crate::upsample::Lines;

/// A component's part in the scan.
struct Part<'t> {
    dc: &'t Table,
    ac: &'t Table,
    /// Step and largest value of each coefficient.
    scale: [(i32, i32); 64],
    h: usize,
    v: usize,
    last: i32,
}

struct Sequential<'t, 'p> {
    parts: Vec<Part<'t>>,
    /// Samples of each part.
    lines: Vec<Lines>,
    /// The picture, if the scan has all that it needs.
    pixels: Option<&'p mut Pixels>,
    /// Lines of the decoded picture in a row of units.
    height: usize,
}

impl Part<'_> {
    /// Decodes a block (T.81, F.2.2) and writes its samples.
    #[inline(always)]
    fn block(&mut self, bits: &mut Bits<'_>, plane: &mut Plane, at: usize) -> Result<(), Fault> {
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
        plane.write(&out, seen, at);
        Ok(())
    }
}

impl Units for Sequential<'_, '_> {
    fn restart(&mut self) {
        for part in &mut self.parts {
            part.last = 0;
        }
    }

    fn unit(&mut self, bits: &mut Bits<'_>, row: usize, column: usize) -> Result<(), Fault> {
        for (part, lines) in self.parts.iter_mut().zip(&mut self.lines) {
            let plane = &mut lines.plane;
            for v in 0..part.v {
                for h in 0..part.h {
                    let at = plane.at(row * part.v + v, column * part.h + h);
                    part.block(bits, plane, at)?;
                }
            }
        }
        Ok(())
    }

    fn end_row(&mut self, row: usize) {
        if let Some(pixels) = &mut self.pixels {
            pixels.above((row + 1) * self.height, &mut self.lines);
        }
    }

    fn finish(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Decodes a scan into its components' samples or, if it has all components, into pixels, and gives where its data end.
pub(crate) fn decode(
    bytes: &[u8],
    pos: usize,
    frame: &Frame,
    state: &State<'_>,
    scan: &Scan,
    found: &mut [Option<Lines>],
    pixels: &mut Pixels,
) -> Result<usize, Error> {
    let ac = scan.specs(state, false)?;
    let no_zeros = ac
        .iter()
        .any(|spec| spec.first().is_some_and(|symbol| symbol != 0));
    let (dc, ac) = (tables(&scan.specs(state, true)?), tables(&ac));
    let order = scan.parts.iter().map(|part| part.index);
    let whole = order.eq(0..frame.components.len());
    let (mut parts, mut lines) = (Vec::new(), Vec::new());
    for (i, part) in scan.parts.iter().enumerate() {
        let component = &frame.components[part.index];
        if found[part.index].is_some() {
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
            last: 0,
        });
        let plane = if whole {
            Plane::latest(component, frame)?
        } else {
            Plane::whole(component)?
        };
        lines.push(Lines::new(plane, component, frame));
    }
    let layout = scan.layout(frame, state.restart, no_zeros);
    let mut units = Sequential {
        parts,
        lines,
        pixels: whole.then_some(pixels),
        height: layout.lines * frame.block / 8,
    };
    let end = entropy::decode(bytes, pos, &layout, &mut units)?;
    for (lines, sent) in units.lines.into_iter().zip(&scan.parts) {
        found[sent.index] = Some(lines);
    }
    Ok(end)
}
