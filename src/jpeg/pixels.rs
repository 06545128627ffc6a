//! The picture, line by line as its samples become known.

use crate::Error;
use crate::colour::{Space, convert};
use crate::frame::Frame;
use crate::planes::reserved;
use crate::upsample::Lines;

/// The lines of the picture that are done.
pub(crate) struct Pixels {
    pub(crate) data: Vec<u8>,
    space: Space,
    /// Bytes of a line.
    row: usize,
    height: usize,
    done: usize,
}

impl Pixels {
    pub(crate) fn new(space: Space, frame: &Frame) -> Result<Self, Error> {
        let [width, height] = frame.decoded();
        let row = width * frame.channels();
        Ok(Self {
            data: reserved(row * height)?,
            space,
            row,
            height,
            done: 0,
        })
    }

    /// Adds what the samples above line `end` tell: all lines above it but the last, in which its neighbour below has a share.
    pub(crate) fn above(&mut self, end: usize, lines: &mut [Lines]) {
        self.add(end - 1, lines);
    }

    /// Adds all lines that are not there yet.
    pub(crate) fn finish(&mut self, lines: &mut [Lines]) {
        self.add(self.height, lines);
    }

    fn add(&mut self, end: usize, lines: &mut [Lines]) {
        for y in self.done..end.min(self.height) {
            let mut parts = [&[][..]; 4];
            let count = lines.len();
            for (part, lines) in parts.iter_mut().zip(&mut *lines) {
                *part = lines.line(y);
            }
            // Made line by line, each still in the cache when it is filled.
            let start = self.data.len();
            self.data.resize(start + self.row, 0);
            convert(self.space, &parts[..count], &mut self.data[start..]);
            self.done = y + 1;
        }
    }
}
