//! Which program made a run.

use crate::error::{Error, Result};
use crate::tensors::hash::hexadecimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The program: its version, and the SHA-256 of the executable that ran, in hexadecimal. Two builds of the same sources may
/// differ, so equal fingerprints mean the same program, unequal ones that it may be another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// The version of hydranet.
    pub hydranet: String,
    /// SHA-256 of the executable.
    pub executable: String,
}

impl Code {
    /// Of the program that runs now.
    ///
    /// # Errors
    /// [`Error::Io`] if its own file cannot be read.
    pub fn of_this_program() -> Result<Self> {
        let path = std::env::current_exe().map_err(|e| Error::io("find", "the program", e))?;
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        Ok(Self {
            hydranet: env!("CARGO_PKG_VERSION").into(),
            executable: hexadecimal(Sha256::digest(bytes)),
        })
    }
}
