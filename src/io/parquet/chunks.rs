//! A file as the reader of Parquet takes it.

use crate::io::random_access::ReadAt;
use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use std::io::{self, BufReader, Read};
use std::sync::Arc;

/// The most that is read at once.
const AT_ONCE: usize = 8 << 20;
/// What is read beyond a header of a page.
const BUFFER: usize = 4096;

/// A file whose pieces are read by several threads at once.
#[derive(Clone)]
pub(super) struct Chunks(pub(super) Arc<dyn ReadAt>);

/// What follows one place of a file.
pub(super) struct From {
    file: Arc<dyn ReadAt>,
    at: u64,
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.size()
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let from = From {
            file: Arc::clone(&self.0),
            at: start,
        };
        Ok(BufReader::with_capacity(BUFFER, from))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let left = self.0.size().saturating_sub(start);
        if length as u64 > left {
            return Err(ParquetError::EOF(format!(
                "{length} bytes are needed from byte {start} on, found {left}"
            )));
        }
        let mut bytes = vec![0; length];
        for (i, part) in bytes.chunks_mut(AT_ONCE).enumerate() {
            let at = start + (i * AT_ONCE) as u64;
            self.0.read_at(at, part)?;
        }
        Ok(bytes.into())
    }
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_on(&mut self.at, buffer)
    }
}
