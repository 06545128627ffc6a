//! Progressive scans (T.81, G).

use crate::Error;
use crate::band::Band;
use crate::bits::Bits;
use crate::entropy::{self, Units};
use crate::error::Fault;
use crate::frame::Frame;
use crate::header::State;
use crate::huffman::Table;
use crate::refine::Refine;
use crate::scan::{Scan, steps, tables};
use crate::stored::{Block, Stored};

/// First and later scans of the first coefficients (T.81, G.1.2.1).
struct Dc<'s> {
    /// Table, sampling, blocks across, blocks and the last value of each part.
    parts: Vec<DcPart<'s>>,
    low: u8,
    first: bool,
}

struct DcPart<'s> {
    table: Option<Table>,
    h: usize,
    v: usize,
    across: usize,
    blocks: &'s mut [Block],
    last: i32,
}

impl Units for Dc<'_> {
    fn restart(&mut self) {
        for part in &mut self.parts {
            part.last = 0;
        }
    }

    fn unit(&mut self, bits: &mut Bits<'_>, row: usize, column: usize) -> Result<(), Fault> {
        for part in &mut self.parts {
            for v in 0..part.v {
                for h in 0..part.h {
                    let out =
                        &mut part.blocks[(row * part.v + v) * part.across + column * part.h + h][0];
                    let Some(table) = part.table.as_ref().filter(|_| self.first) else {
                        *out |= i16::from(bits.bit()) << self.low;
                        continue;
                    };
                    bits.fill();
                    let (size, difference) = table.pair(bits)?;
                    if size > 11 {
                        return Err(Fault::Symbol);
                    }
                    part.last += difference;
                    *out = shifted(part.last, self.low)?;
                }
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// A value of which the lower bits are not sent yet.
#[inline(always)]
fn shifted(value: i32, low: u8) -> Result<i16, Fault> {
    // Values have 16 bits at most, and `low` is 13 at most.
    let value = value << low;
    if value.abs() > 4096 {
        Err(Fault::Range)
    } else {
        Ok(value as i16)
    }
}

/// First scans of the other coefficients (T.81, G.1.2.2).
struct Ac<'s>(Band<'s>);

impl Units for Ac<'_> {
    fn restart(&mut self) {
        self.0.run = 0;
    }

    fn unit(&mut self, bits: &mut Bits<'_>, row: usize, column: usize) -> Result<(), Fault> {
        let band = &mut self.0;
        if band.run > 0 {
            band.run -= 1;
            return Ok(());
        }
        let block = &mut band.blocks[row * band.across + column];
        let mut k = band.first;
        while k <= band.last {
            bits.fill();
            let (symbol, value) = band.table.pair(bits)?;
            if symbol & 15 == 0 {
                let run = u32::from(symbol >> 4);
                if run == 15 {
                    k += 16;
                    continue;
                }
                band.run = (1 << run) - 1 + bits.number(run);
                return Ok(());
            }
            k += usize::from(symbol >> 4);
            if k > band.last {
                return Err(Fault::Index);
            }
            block[k] = shifted(value, band.low)?;
            k += 1;
        }
        if k > band.last + 1 {
            Err(Fault::Index)
        } else {
            Ok(())
        }
    }

    fn finish(&self) -> Result<(), Fault> {
        self.0.finish()
    }
}

/// Decodes a scan, and gives where its data end.
pub(crate) fn decode(
    bytes: &[u8],
    pos: usize,
    frame: &Frame,
    state: &State<'_>,
    scan: &Scan,
    stored: &mut [Stored],
) -> Result<usize, Error> {
    let (dc, first) = (scan.first == 0, scan.high == 0);
    let spectrum = if dc {
        scan.last == 0
    } else {
        scan.alone() && scan.first <= scan.last && scan.last < 64
    };
    if !spectrum || scan.low > 13 || (!first && scan.high != scan.low + 1) {
        return Err(Error::Damaged(format!(
            "a progressive scan of {} components sends the coefficients {} to {}, bits {} and {}",
            scan.parts.len(),
            scan.first,
            scan.last,
            scan.high,
            scan.low
        )));
    }
    for part in &scan.parts {
        let (component, stored) = (&frame.components[part.index], &mut stored[part.index]);
        stored.send(scan, component)?;
        if stored.steps.is_none() {
            stored.steps = Some(steps(state, component)?);
        }
    }
    if dc {
        let tables = if first {
            tables(&scan.specs(state, true)?)
        } else {
            Vec::new()
        };
        let mut tables = tables.into_iter();
        let mut parts = Vec::new();
        let mut all: Vec<_> = stored.iter_mut().map(Some).collect();
        for part in &scan.parts {
            let Some(stored) = all[part.index].take() else {
                continue;
            };
            let c = &frame.components[part.index];
            let (h, v) = if scan.alone() { (1, 1) } else { (c.h, c.v) };
            parts.push(DcPart {
                table: tables.next(),
                h,
                v,
                across: c.padded_across,
                blocks: &mut stored.blocks,
                last: 0,
            });
        }
        let layout = scan.layout(frame, state.restart, false);
        return entropy::decode(
            bytes,
            pos,
            &layout,
            &mut Dc {
                parts,
                low: scan.low,
                first,
            },
        );
    }
    let specs = scan.specs(state, false)?;
    // Bits that correct a value may all be zero, and so may the few coefficients of a short band, all over a smooth picture.
    let long = scan.last - scan.first >= 31;
    let no_zeros = first && long && specs[0].first().is_some_and(|symbol| symbol & 15 != 0);
    let layout = scan.layout(frame, state.restart, no_zeros);
    let (index, table) = (scan.parts[0].index, specs[0].table());
    let across = frame.components[index].padded_across;
    let blocks = stored[index].blocks.as_mut_slice();
    let band = Band {
        table,
        across,
        blocks,
        first: scan.first,
        last: scan.last,
        low: scan.low,
        run: 0,
    };
    if first {
        entropy::decode(bytes, pos, &layout, &mut Ac(band))
    } else {
        entropy::decode(bytes, pos, &layout, &mut Refine(band))
    }
}
