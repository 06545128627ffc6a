//! The coded data of a scan, cut into restart intervals (T.81, E.1.4 and F.2.2.5).

use crate::Error;
use crate::bits::Bits;
use crate::error::Fault;
use crate::markers;
use crate::planes::reserved;

/// What decodes the units of a scan.
pub(crate) trait Units {
    /// Begins a restart interval.
    fn restart(&mut self);
    /// Decodes the unit at a place.
    fn unit(&mut self, bits: &mut Bits<'_>, row: usize, column: usize) -> Result<(), Fault>;
    /// Ends a row of units.
    fn end_row(&mut self, _row: usize) {}
    /// Ends a restart interval.
    fn finish(&self) -> Result<(), Fault>;
}

/// The layout of a scan's units.
pub(crate) struct Layout {
    pub(crate) across: usize,
    pub(crate) down: usize,
    /// Units between restart markers; 0 for none.
    pub(crate) restart: usize,
    /// Lines of the picture in a row of units, and in all.
    pub(crate) lines: usize,
    pub(crate) height: usize,
    /// Whether a long run of zero bytes is something that these tables cannot mean.
    pub(crate) no_zeros: bool,
}

impl Layout {
    /// Where a unit stands, in words.
    fn place(&self, unit: usize) -> String {
        let line = (unit / self.across.max(1) * self.lines + 1).min(self.height);
        format!("row {line} of {}", self.height)
    }
}

/// Zero bytes in a row from which they are taken for an erased stretch, see [`crate::scan`].
const ZEROS: usize = 16;

/// The most bytes behind the last unit that are no sign of damage. Codes that are lost or changed put the rest of the data out of
/// step, and hardly ever leave so little in a place where the bits before it are those that fill up a byte.
const SURPLUS: u64 = 16;

/// Decodes the scan whose data begin at `pos`, and gives where they end.
pub(crate) fn decode(
    bytes: &[u8],
    pos: usize,
    layout: &Layout,
    units: &mut impl Units,
) -> Result<usize, Error> {
    let total = layout.across * layout.down;
    let interval = if layout.restart == 0 {
        total
    } else {
        layout.restart
    };
    // Taken at once, so that it never is there twice while it grows.
    let mut buffer = reserved(bytes.len().saturating_sub(pos))?;
    let (mut start, mut pos, mut count) = (0, pos, 0u8);
    let (mut row, mut column) = (0, 0);
    while start < total {
        let end = (start + interval).min(total);
        let marker = load(bytes, &mut pos, &mut buffer)?;
        if layout.no_zeros && has_zeros(&buffer) {
            return Err(Error::Damaged(format!(
                "{ZEROS} or more zero bytes in its coded data, which no encoder writes there"
            )));
        }
        units.restart();
        let mut bits = Bits::new(&buffer);
        for unit in start..end {
            let fault = units.unit(&mut bits, row, column).err();
            if bits.overrun() {
                return Err(missing(layout.place(unit), marker));
            }
            if let Some(fault) = fault {
                return Err(Error::Damaged(format!(
                    "{} in {}",
                    fault.words(),
                    layout.place(unit)
                )));
            }
            column += 1;
            if column == layout.across {
                units.end_row(row);
                (row, column) = (row + 1, 0);
            }
        }
        units.finish().map_err(|fault| {
            Error::Damaged(format!("{} in {}", fault.words(), layout.place(end - 1)))
        })?;
        // Behind the last unit of the picture some encoders and transports leave a few bytes, of which libjpeg only warns.
        let last = end == total && marker == Some(markers::EOI);
        if bits.left() > 0 && !(last && bits.is_padding(SURPLUS)) {
            return Err(Error::Damaged(format!(
                "{} bytes are left over behind the coded data that end in {}",
                bits.left(),
                layout.place(end - 1)
            )));
        }
        let expected = 0xD0 | count;
        if end < total {
            match marker {
                Some(found) if found == expected => pos += 2,
                Some(found) if markers::is_restart(found) => {
                    return Err(Error::Damaged(format!(
                        "the restart marker {} was expected in {}, found {}",
                        count,
                        layout.place(end),
                        found & 7
                    )));
                }
                found => return Err(missing(layout.place(end), found)),
            }
            count = (count + 1) & 7;
        } else if layout.restart != 0 && marker == Some(expected) {
            // Some encoders write a restart marker behind the last interval too.
            pos += 2;
        }
        start = end;
    }
    Ok(pos)
}

/// The error for data that end before the unit at a place.
fn missing(place: String, marker: Option<u8>) -> Error {
    match marker {
        None => Error::Truncated(format!("the file ends in {place}")),
        Some(markers::EOI) => Error::Truncated(format!("its data end in {place}")),
        Some(marker) => Error::Damaged(format!(
            "a marker FF {marker:02X} in the middle of its coded data, in {place}"
        )),
    }
}

/// Copies coded data up to the next marker without their stuffing. Afterwards `pos` stands at that marker's FF.
fn load(bytes: &[u8], pos: &mut usize, buffer: &mut Vec<u8>) -> Result<Option<u8>, Error> {
    buffer.clear();
    loop {
        let rest = bytes.get(*pos..).unwrap_or_default();
        let plain = rest.iter().position(|&b| b == 0xFF).unwrap_or(rest.len());
        let stuffed = rest.get(plain + 1) == Some(&0);
        let taken = if stuffed { plain + 1 } else { plain };
        buffer.extend_from_slice(&rest[..taken]);
        *pos += taken;
        if stuffed {
            *pos += 1;
            continue;
        }
        // Fill bytes, then the marker (T.81, B.1.1.2).
        let fill = rest[plain..].iter().take_while(|&&b| b == 0xFF).count();
        let Some(&marker) = rest.get(plain + fill) else {
            return Ok(None);
        };
        *pos += fill - 1;
        if marker == 0 {
            return Err(Error::Damaged(format!(
                "FF FF 00 in its coded data at byte {}",
                *pos
            )));
        }
        return Ok(Some(marker));
    }
}

/// Whether there are [`ZEROS`] zero bytes in a row.
fn has_zeros(data: &[u8]) -> bool {
    let mut i = 0;
    while i < data.len() {
        if data[i] != 0 {
            // A run that is long enough holds one of the places that are looked at.
            i += ZEROS / 2;
            continue;
        }
        let before = data[..i]
            .iter()
            .rev()
            .take(ZEROS)
            .take_while(|&&b| b == 0)
            .count();
        let behind = data[i..]
            .iter()
            .take(ZEROS)
            .take_while(|&&b| b == 0)
            .count();
        if before + behind >= ZEROS {
            return true;
        }
        i += behind.max(ZEROS / 2);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffing_is_taken_out_and_markers_end_the_data() -> Result<(), Error> {
        let bytes = [1, 0xFF, 0, 2, 0xFF, 0xFF, 0xD9, 7];
        let (mut pos, mut buffer) = (0, Vec::new());
        assert_eq!(load(&bytes, &mut pos, &mut buffer)?, Some(0xD9));
        assert_eq!((buffer.as_slice(), pos), (&[1, 0xFF, 2][..], 5));
        let (mut pos, mut buffer) = (0, Vec::new());
        assert_eq!(load(&bytes[..4], &mut pos, &mut buffer)?, None);
        assert_eq!(buffer, [1, 0xFF, 2]);
        Ok(())
    }

    #[test]
    fn zeros_are_found_wherever_they_begin() {
        for start in 0..80 {
            let mut data = vec![1u8; 200];
            data[start..start + ZEROS].fill(0);
            assert!(has_zeros(&data));
            data[start + ZEROS / 2] = 1;
            assert!(!has_zeros(&data));
        }
    }
}
