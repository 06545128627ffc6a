//! What is wrong with a file.

use std::fmt;

/// Why a JPEG was not decoded. Its text says what is wrong in words that complete "FILE: ...".
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not begin as a JPEG does.
    NotJpeg,
    /// A kind of JPEG that is not decoded, with its name.
    Unsupported(String),
    /// The data end before the picture does.
    Truncated(String),
    /// The data are not those of a whole JPEG.
    Damaged(String),
    /// There is not enough memory for the picture; the number of bytes that were asked for.
    Memory(u64),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotJpeg => write!(f, "not a JPEG: it does not begin with the bytes FF D8"),
            Error::Unsupported(what) => {
                write!(
                    f,
                    "{what} is not supported: save it as a usual JPEG or PNG of 8 bits a sample"
                )
            }
            Error::Truncated(how) => write!(f, "the JPEG is truncated: {how}"),
            Error::Damaged(how) => write!(f, "the JPEG is damaged: {how}"),
            Error::Memory(bytes) => write!(
                f,
                "decoding the JPEG takes {bytes} bytes of memory, which are not there"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// What is wrong within the coded data, found where the place in the picture is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Bits that are no code of the table.
    Code,
    /// A code whose meaning is not defined.
    Symbol,
    /// More than 64 coefficients in a block.
    Index,
    /// A coefficient that no picture of 8 bits has.
    Range,
    /// A run of empty blocks beyond the end.
    Run,
    /// Too many coefficients of one value in a row.
    Alike,
}

impl Fault {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Fault::Code => "bits that are no code of the Huffman table",
            Fault::Symbol => "a code without a meaning",
            Fault::Index => "a block of more than 64 coefficients",
            Fault::Range => "a coefficient that no picture of 8 bits can have",
            Fault::Alike => "a row of coefficients of one value that no picture has",
            Fault::Run => "a run of empty blocks that goes beyond the end",
        }
    }
}
