//! The SHA-256 of a content, by which the Hub names large files.

use crate::tensors::hash::hexadecimal;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};

/// Copies a content and gives its hash.
pub(super) fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(hexadecimal(hash.finalize())),
            n => {
                hash.update(&buffer[..n]);
                to.write_all(&buffer[..n])?;
            }
        }
    }
}

/// The hash of what is still to be read.
pub(super) fn sha256(from: &mut impl Read) -> io::Result<String> {
    copy(from, &mut io::sink())
}
