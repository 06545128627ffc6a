//! The markers between which a JPEG's data lie (T.81, B.1.1).

use crate::Error;

pub(crate) const SOI: u8 = 0xD8;
pub(crate) const EOI: u8 = 0xD9;
pub(crate) const SOS: u8 = 0xDA;
pub(crate) const DQT: u8 = 0xDB;
pub(crate) const DNL: u8 = 0xDC;
pub(crate) const DRI: u8 = 0xDD;
pub(crate) const DHP: u8 = 0xDE;
pub(crate) const EXP: u8 = 0xDF;
pub(crate) const DHT: u8 = 0xC4;
pub(crate) const DAC: u8 = 0xCC;
pub(crate) const APP0: u8 = 0xE0;
pub(crate) const APP1: u8 = 0xE1;
pub(crate) const APP14: u8 = 0xEE;
pub(crate) const APP15: u8 = 0xEF;
pub(crate) const COM: u8 = 0xFE;

/// Whether a marker is one of RST0 to RST7.
pub(crate) fn is_restart(marker: u8) -> bool {
    (0xD0..=0xD7).contains(&marker)
}

/// A walk over the marker segments of a file.
pub(crate) struct Markers<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) pos: usize,
}

impl<'a> Markers<'a> {
    /// Begins behind the start-of-image marker.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes {
            [0xFF, SOI, ..] => Ok(Self { bytes, pos: 2 }),
            _ => Err(Error::NotJpeg),
        }
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let byte = *self.bytes.get(self.pos).ok_or_else(|| {
            Error::Truncated(format!(
                "the file ends at byte {} without an end-of-image marker",
                self.bytes.len()
            ))
        })?;
        self.pos += 1;
        Ok(byte)
    }

    /// The next marker; fill bytes FF before it are skipped (T.81, B.1.1.2), and so is `junk`, if it is allowed, as libjpeg does.
    pub(crate) fn marker(&mut self, junk: bool) -> Result<u8, Error> {
        let start = self.pos;
        loop {
            let mut byte = self.byte()?;
            let filled = byte == 0xFF;
            while byte == 0xFF {
                byte = self.byte()?;
            }
            if filled && byte != 0 {
                return Ok(byte);
            }
            if !junk {
                let found = if filled {
                    "FF 00".to_owned()
                } else {
                    format!("{byte:02X}")
                };
                return Err(Error::Damaged(format!(
                    "a marker was expected at byte {start}, found {found}"
                )));
            }
        }
    }

    /// The contents of the segment of the marker just read.
    pub(crate) fn payload(&mut self, marker: u8) -> Result<&'a [u8], Error> {
        let start = self.pos;
        let length = usize::from(self.byte()?) << 8 | usize::from(self.byte()?);
        if length < 2 {
            return Err(Error::Damaged(format!(
                "the segment FF {marker:02X} at byte {start} has the length {length}"
            )));
        }
        let payload = self.bytes.get(start + 2..start + length).ok_or_else(|| {
            Error::Truncated(format!(
                "the segment FF {marker:02X} at byte {start} should have {length} bytes, but the file ends at byte {}",
                self.bytes.len()
            ))
        })?;
        self.pos = start + length;
        Ok(payload)
    }
}
