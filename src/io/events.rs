//! Files of records as TensorFlow and TensorBoard have them ("TFRecords"): each record is its length, a checksum of that, its
//! bytes, and a checksum of these. The checksum is CRC-32C (Castagnoli et al. 1993; RFC 3720, appendix B.4), turned by 15 bits and
//! added to a constant, so that a record within a record is not taken for one.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes around a record.
const LENGTH: usize = 8;
const SUM: usize = 4;

/// CRC-32C of bytes: the polynomial 0x1EDC6F41, lowest bits first.
fn crc32c(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(!0u32, |sum, byte| {
        let low = (sum ^ u32::from(*byte)) & 0xff;
        let byte = (0..8).fold(low, |v, _| v >> 1 ^ (0x82F6_3B78 & (v & 1).wrapping_neg()));
        sum >> 8 ^ byte
    });
    !sum
}

/// The checksum as it is written.
fn masked(bytes: &[u8]) -> [u8; SUM] {
    let sum = crc32c(bytes).rotate_right(15);
    sum.wrapping_add(0xA282_EAD8).to_le_bytes()
}

/// The whole records at the beginning of a file's bytes, and how many bytes they take: what a program that was killed left
/// behind them is none.
pub(crate) fn records(bytes: &[u8]) -> (Vec<&[u8]>, usize) {
    let (mut all, mut at) = (Vec::new(), 0);
    while let Some(record) = record(&bytes[at..]) {
        at += LENGTH + SUM + record.len() + SUM;
        all.push(record);
    }
    (all, at)
}

fn record(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let (sum, rest) = rest.split_first_chunk::<SUM>()?;
    if *sum != masked(length) {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (body, rest) = rest.split_at_checked(length)?;
    (rest.first_chunk::<SUM>()? == &masked(body)).then_some(body)
}

/// A file that grows record by record.
#[derive(Debug)]
pub(crate) struct Records {
    path: PathBuf,
    file: File,
}

impl Records {
    /// Opens a file to go on behind its last whole record; the second value is whether there was none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn open(path: &Path) -> Result<(Self, bool)> {
        let kept = if path.exists() {
            records(&crate::io::read::bytes(path, crate::io::read::RECORD)?).1
        } else {
            0
        };
        let failed = |e| Error::io("write", path, e);
        let mut options = File::options();
        let file = options.create(true).write(true).truncate(false).open(path);
        let mut file = file.map_err(failed)?;
        file.set_len(kept as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let records = Self {
            path: path.into(),
            file,
        };
        Ok((records, kept == 0))
    }

    /// Adds a record, in one piece.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn add(&mut self, record: &[u8]) -> Result<()> {
        let length = (record.len() as u64).to_le_bytes();
        let whole = [&length[..], &masked(&length), record, &masked(record)].concat();
        self.file
            .write_all(&whole)
            .map_err(|e| Error::io("write", &self.path, e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xff; 32]), 0x62A8_AB43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46DD_794E);
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn a_file_goes_on_behind_its_last_whole_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        let (mut file, new) = Records::open(&path).unwrap();
        assert!(new);
        file.add(b"one").unwrap();
        file.add(b"").unwrap();
        drop(file);
        let whole = std::fs::read(&path).unwrap();
        for broken in [
            &whole[..whole.len() - 1],
            &[&whole[..], b"half a rec"].concat(),
            &whole[..],
        ] {
            std::fs::write(&path, broken).unwrap();
            let (mut file, new) = Records::open(&path).unwrap();
            assert!(!new);
            file.add(b"two").unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let (found, end) = records(&bytes);
            assert_eq!(end, bytes.len());
            assert_eq!(
                (found[0], *found.last().unwrap()),
                (&b"one"[..], &b"two"[..])
            );
        }
        let mut turned = whole.clone();
        turned[13] ^= 1;
        assert_eq!(records(&turned), (Vec::new(), 0));
        let mut endless = whole;
        endless[7] = 0xff;
        assert_eq!(records(&endless), (Vec::new(), 0));
    }
}
