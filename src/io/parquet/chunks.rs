//! A file as the reader of Parquet takes it.

use crate::io::random_access::ReadAt;
use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use std::collections::HashMap;
use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// The most that is read at once.
const AT_ONCE: usize = 8 << 20;
/// What is read beyond a header of a page.
const BUFFER: usize = 4096;

/// Bytes that are kept of the beginnings of what was read on, and of how many: the headers of pages. Whoever looks for a page
/// goes through those before it, which in a store are far away.
const HEAD: usize = 512;
const HEADS: usize = 1 << 16;

/// The beginnings of what was read on, by their places.
type Heads = Arc<Mutex<HashMap<u64, Arc<[u8]>>>>;

/// A file whose pieces are read by several threads at once.
#[derive(Clone)]
pub(super) struct Chunks {
    file: Arc<dyn ReadAt>,
    heads: Heads,
}

impl Chunks {
    pub(super) fn new(file: Arc<dyn ReadAt>) -> Self {
        Self {
            file,
            heads: Heads::default(),
        }
    }
}

/// What follows one place of a file.
pub(super) struct From {
    file: Arc<dyn ReadAt>,
    start: u64,
    at: u64,
    heads: Heads,
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.file.size()
    }
}

impl ChunkReader for Chunks {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let from = From {
            file: Arc::clone(&self.file),
            start,
            at: start,
            heads: Arc::clone(&self.heads),
        };
        Ok(BufReader::with_capacity(BUFFER, from))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let left = self.file.size().saturating_sub(start);
        if length as u64 > left {
            return Err(ParquetError::EOF(format!(
                "{length} bytes are needed from byte {start} on, found {left}"
            )));
        }
        let mut bytes = vec![0; length];
        for (i, part) in bytes.chunks_mut(AT_ONCE).enumerate() {
            let at = start + (i * AT_ONCE) as u64;
            self.file.read_at(at, part)?;
        }
        Ok(bytes.into())
    }
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at > self.start {
            return self.file.read_on(&mut self.at, buffer);
        }
        let heads = || self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let known = heads().get(&self.start).cloned();
        if let Some(head) = known.filter(|_| !buffer.is_empty()) {
            let length = head.len().min(buffer.len());
            buffer[..length].copy_from_slice(&head[..length]);
            self.at += length as u64;
            return Ok(length);
        }
        let length = self.file.read_on(&mut self.at, buffer)?;
        let head = &buffer[..length.min(HEAD)];
        let mut heads = heads();
        if !head.is_empty() && heads.len() < HEADS {
            heads.insert(self.start, head.into());
        }
        Ok(length)
    }
}
