//! What a tile sees of a map.

use super::input::Input;
use super::window::Window;
use crate::buffer::Buffer;
use crate::real::Real;

/// A window's values, and which part of a plane they are.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a, T> {
    pub values: &'a [T],
    pub window: Window,
    /// Channels.
    pub c: usize,
}

impl<'a, T: Real> Seen<'a, T> {
    /// A window of the image that begins at `at`: read where it lies, or copied with its transformation done and zeros around it.
    pub fn of(
        x: Input<'a, T>,
        (h, w, c): (usize, usize, usize),
        at: usize,
        window: Window,
        scratch: &'a mut Buffer<T>,
    ) -> Self {
        if x.transform.is_none() && window.is_rows_of(h, w) {
            let values = &x.values.with_slack()[at + window.row as usize * w * c..];
            return Self { values, window, c };
        }
        scratch.reserve(window.len(c));
        window.fill((h, w, c), scratch, |range, out| {
            x.copy(at + range.start..at + range.end, out);
        });
        Self {
            values: scratch.with_slack(),
            window,
            c,
        }
    }

    /// Where position (row, col) of the plane lies.
    pub fn at(&self, row: isize, col: isize) -> usize {
        self.window.place(row, col) * self.c
    }
}
