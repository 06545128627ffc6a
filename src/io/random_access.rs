//! Files that several threads read at any place at once.

use crate::error::{Error, Result};
use std::fs::File;
use std::io;
use std::path::Path;

/// Bytes that are read at any place.
pub(crate) trait ReadAt: Send + Sync {
    /// How many there are.
    fn size(&self) -> u64;

    /// Those from `start` on, as many as `buffer` takes.
    ///
    /// # Errors
    /// If there are not so many, or they cannot be read.
    fn read_at(&self, start: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// As many from `at` on as there are and `buffer` takes; `at` is behind them then, as [`io::Read`] has it.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read_on(&self, at: &mut u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.size().saturating_sub(*at);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        self.read_at(*at, &mut buffer[..length])?;
        *at += length as u64;
        Ok(length)
    }
}

/// A file that is read so.
pub(crate) struct OpenFile {
    #[cfg(unix)]
    file: File,
    #[cfg(not(unix))]
    file: std::sync::Mutex<File>,
    size: u64,
}

/// Opens a file, here or in a store.
///
/// # Errors
/// As [`read::open`](super::read::open).
pub(crate) fn open(path: &Path) -> Result<Box<dyn ReadAt>> {
    if crate::location::is_remote(path) {
        return super::remote::open(path);
    }
    let (file, size) = super::read::open(path)?;
    let about = file.metadata().map_err(|e| Error::io("read", path, e))?;
    if !about.is_file() {
        let reason = "a file is needed that can be read at any place, found a pipe";
        return Err(Error::io("read", path, io::Error::other(reason)));
    }
    Ok(Box::new(OpenFile {
        #[cfg(unix)]
        file,
        #[cfg(not(unix))]
        file: file.into(),
        size,
    }))
}

impl ReadAt for OpenFile {
    fn size(&self) -> u64 {
        self.size
    }

    #[cfg(unix)]
    fn read_at(&self, start: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, start)
    }

    #[cfg(not(unix))]
    fn read_at(&self, start: u64, buffer: &mut [u8]) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self.file.lock().unwrap_or_else(|e| e.into_inner());
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(buffer)
    }
}
