//! Hashes: in words, and of tensors.

use super::named::Tensors;
use crate::error::Result;
use candle_core::DType;
use sha2::{Digest, Sha256};
#[cfg(any(feature = "hub", feature = "train"))]
use std::io::{self, Read, Write};

/// The digits of a hash.
pub(crate) fn hexadecimal(hash: impl AsRef<[u8]>) -> String {
    hash.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// Copies a content, and gives its SHA-256.
#[cfg(any(feature = "hub", feature = "train"))]
pub(crate) fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            n => {
                hash.update(&buffer[..n]);
                to.write_all(&buffer[..n])?;
            }
        }
    }
}

/// A SHA-256 of tensors whose names begin with `prefix`: of each in order of name its name, a zero byte, the number of its
/// dimensions and each of them as eight bytes, and its values as `f32`, all little-endian. One that is kept in a lesser type
/// counts by its rounded values.
pub(crate) fn of_tensors(tensors: &Tensors, prefix: &str) -> Result<String> {
    let mut hash = Sha256::new();
    for (name, tensor) in tensors.iter().filter(|(name, _)| name.starts_with(prefix)) {
        hash.update(name);
        hash.update([0]);
        for number in [tensor.rank()].iter().chain(tensor.dims()) {
            hash.update((*number as u64).to_le_bytes());
        }
        let values: Vec<f32> = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        for values in values.chunks(1 << 14) {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            hash.update(&bytes);
        }
    }
    Ok(hexadecimal(hash.finalize()))
}
