//! What a tile sees of a map.

use super::input::Input;
use super::window::Window;
use crate::buffer::Buffer;
use crate::real::Real;
use std::ops::Range;

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
        plane: (usize, usize, usize),
        at: usize,
        window: Window,
        scratch: &'a mut Buffer<T>,
    ) -> Self {
        Self::read(x.lying(), plane, at, window, scratch, |range, out| {
            x.copy(range, out);
        })
    }

    /// The same, read where it lies if nothing is to be done to `lying`, else by `copy(range of all values, out)`.
    pub fn read(
        lying: Option<&'a Buffer<T>>,
        (h, w, c): (usize, usize, usize),
        at: usize,
        window: Window,
        scratch: &'a mut Buffer<T>,
        copy: impl Fn(Range<usize>, &mut [T]),
    ) -> Self {
        let values = match lying {
            Some(values) if window.is_rows_of(h, w) => {
                &values.with_slack()[at + window.row as usize * w * c..]
            }
            _ => {
                scratch.reserve(window.len(c));
                window.fill((h, w, c), scratch, |range, out| {
                    copy(at + range.start..at + range.end, out);
                });
                scratch.with_slack()
            }
        };
        Self { values, window, c }
    }

    /// Where position (row, col) of the plane lies.
    pub fn at(&self, row: isize, col: isize) -> usize {
        self.window.place(row, col) * self.c
    }
}
