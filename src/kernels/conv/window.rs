//! Parts of a channels-last plane copied to scratch, with zeros around them.

use crate::real::Real;
use std::ops::Range;

/// A part of a plane, in its rows and columns; what lies outside the plane counts as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub row: isize,
    pub rows: usize,
    pub col: isize,
    pub cols: usize,
}

impl Window {
    /// Whether it is whole rows of a plane of `h` × `w`: no copy is needed to read it.
    pub(crate) fn is_rows_of(&self, h: usize, w: usize) -> bool {
        self.row >= 0 && self.row as usize + self.rows <= h && self.col == 0 && self.cols == w
    }

    /// Whether nothing of it lies outside a plane of `h` × `w`.
    pub(crate) fn is_within(&self, h: usize, w: usize) -> bool {
        let inside = |from: isize, count: usize, end: usize| {
            usize::try_from(from).is_ok_and(|from| from + count <= end)
        };
        inside(self.row, self.rows, h) && inside(self.col, self.cols, w)
    }

    /// Position (row, column) of the plane, counted within the window.
    pub(crate) fn place(&self, row: isize, col: isize) -> usize {
        (row - self.row) as usize * self.cols + (col - self.col) as usize
    }

    /// Values it holds with `c` channels.
    pub(crate) fn len(&self, c: usize) -> usize {
        self.rows * self.cols * c
    }

    /// Fills `out` from a plane of `(h, w, c)`: `copy(range of the plane's values, their place in out)` for what lies inside.
    pub(crate) fn fill<T: Real>(
        &self,
        (h, w, c): (usize, usize, usize),
        out: &mut [T],
        mut copy: impl FnMut(Range<usize>, &mut [T]),
    ) {
        if self.is_rows_of(h, w) {
            let from = self.row as usize * w * c;
            copy(from..from + self.len(c), &mut out[..self.len(c)]);
            return;
        }
        // Columns of the window that lie inside the plane.
        let before = (-self.col).clamp(0, self.cols as isize) as usize;
        let inside = (w as isize - self.col).clamp(before as isize, self.cols as isize) as usize;
        for (i, out) in out[..self.len(c)]
            .chunks_exact_mut(self.cols * c)
            .enumerate()
        {
            let row = self.row + i as isize;
            if row < 0 || row >= h as isize || before == inside {
                out.fill(T::ZERO);
                continue;
            }
            out[..before * c].fill(T::ZERO);
            out[inside * c..].fill(T::ZERO);
            let from = (row as usize * w + (self.col + before as isize) as usize) * c;
            copy(
                from..from + (inside - before) * c,
                &mut out[before * c..inside * c],
            );
        }
    }
}
