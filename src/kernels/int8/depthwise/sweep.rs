//! The way over a map: some output rows of a block of channels after the others.

use super::{BLOCK, Depthwise, Finish};
use std::ops::Range;

/// What is swept over: woven rows of a block and what becomes of them.
pub(super) struct Sweep<'a, X, W> {
    pub woven: *const X,
    pub weights: *const W,
    /// Woven columns of a window.
    pub window: usize,
    pub finish: &'a Finish,
    /// The first channel.
    pub at: usize,
    pub columns: usize,
    /// From one output column's window to the next, in values.
    pub step: usize,
    /// Of the first row; the rows there are, and the bytes of a row and of a position.
    pub out: *mut u8,
    pub rows: usize,
    pub row: usize,
    pub position: usize,
}

impl Depthwise {
    /// Weaves the rows that some output rows see, `weave(the block's first channel, the first of these rows)`, and calls `sweep`
    /// for them, block after block; a woven column of a group has `column` values.
    ///
    /// # Safety
    /// Everything is as long as [`run`](Self::run) asserts; `weights` are all of its weights, and `woven` is as long as `weave`
    /// needs.
    #[inline(always)]
    pub(super) unsafe fn sweeps<X, W>(
        &self,
        rows: Range<usize>,
        finish: &Finish,
        out: &mut [u8],
        (woven, weights, column): (*const X, *const W, usize),
        weave: impl Fn(usize, usize),
        sweep: impl Fn(&Sweep<X, W>),
    ) {
        let (g, channels) = (&self.g, self.blocks * BLOCK);
        let window = g.kw * self.groups;
        for first in rows.clone().step_by(self.rows) {
            for block in 0..self.blocks {
                let at = block * BLOCK;
                weave(at, first);
                let place = (first - rows.start) * g.ow * channels + at;
                // SAFETY: blocks and rows are those of the map and of its kernels.
                let (weights, out) = unsafe {
                    let weights = weights.add(block * window * self.rows * column);
                    (weights, out.as_mut_ptr().add(place))
                };
                sweep(&Sweep {
                    woven,
                    weights,
                    window,
                    finish,
                    at,
                    columns: g.ow,
                    step: g.p.stride.1 * self.groups * column,
                    out,
                    rows: self.rows.min(rows.end - first),
                    row: g.ow * channels,
                    position: channels,
                });
            }
        }
    }
}

impl<X, W> Sweep<'_, X, W> {
    /// Where the result of row `r` of the rows that there are stands at `column`.
    ///
    /// # Safety
    /// `column` is one of the columns.
    #[inline(always)]
    pub(super) unsafe fn place(&self, r: usize, column: usize) -> Option<*mut u8> {
        // SAFETY: a row of the output that is there, by the caller's promise.
        (r < self.rows).then(|| unsafe { self.out.add(r * self.row + column * self.position) })
    }
}
