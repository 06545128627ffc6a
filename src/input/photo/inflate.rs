//! The pixels of a PNG, inflated as far as they are asked for.

use super::png_chunk::Chunk;
use fdeflate::Decompressor;

/// How far back deflate may refer.
const WINDOW: usize = 32 << 10;
/// Inflated at least this far ahead, so that the window is seldom moved.
const AHEAD: usize = 64 << 10;

pub(super) struct Inflate<'a> {
    state: Decompressor,
    /// The chunks still to come.
    chunks: &'a [u8],
    /// What is left of the one being read.
    input: &'a [u8],
    ended: bool,
    buffer: Vec<u8>,
    /// Inflated and not yet given out.
    start: usize,
    filled: usize,
}

impl<'a> Inflate<'a> {
    /// Of the chunks of pixels at the front of `chunks`, for pieces of up to `longest` bytes.
    pub(super) fn new(chunks: &'a [u8], longest: usize) -> Self {
        Self {
            state: Decompressor::new(),
            chunks,
            input: &[],
            ended: false,
            buffer: vec![0; Self::memory(longest)],
            start: 0,
            filled: 0,
        }
    }

    pub(super) fn memory(longest: usize) -> usize {
        longest + WINDOW + 2 * AHEAD
    }

    /// The next bytes.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<(), String> {
        while self.filled - self.start < out.len() {
            if self.state.is_done() {
                return Err("the PNG is truncated: rows of pixels are missing".into());
            }
            self.more()?;
        }
        out.copy_from_slice(&self.buffer[self.start..self.start + out.len()]);
        self.start += out.len();
        Ok(())
    }

    /// Reads to the end, where the checksum stands, over at most `most` surplus bytes.
    pub(super) fn finish(mut self, most: u64) -> Result<(), String> {
        let mut surplus = 0;
        loop {
            surplus += (self.filled - self.start) as u64;
            self.start = self.filled;
            if surplus > most {
                return Err(
                    "the PNG is broken: it has more than twice the pixels that its header says"
                        .into(),
                );
            }
            if self.state.is_done() {
                return Ok(());
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> Result<(), String> {
        if self.buffer.len() - self.filled < AHEAD {
            let kept = self.start.min(self.filled.saturating_sub(WINDOW));
            self.buffer.copy_within(kept..self.filled, 0);
            self.start -= kept;
            self.filled -= kept;
        }
        while self.input.is_empty() && !self.ended {
            match Chunk::next(&mut self.chunks) {
                Some(chunk) if chunk.name == *b"IDAT" => self.input = chunk.data,
                _ => self.ended = true,
            }
        }
        let (used, made) = self
            .state
            .read(self.input, &mut self.buffer, self.filled, self.ended)
            .map_err(|e| match e {
                fdeflate::DecompressionError::InsufficientInput => {
                    "the PNG is truncated: its pixels end early".to_string()
                }
                fdeflate::DecompressionError::WrongChecksum => {
                    "the PNG is broken: the checksum of its pixels is wrong".into()
                }
                e => format!("the PNG is broken: its pixels cannot be inflated ({e:?})"),
            })?;
        self.input = &self.input[used..];
        self.filled += made;
        Ok(())
    }
}
