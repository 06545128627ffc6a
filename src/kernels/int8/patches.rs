//! The windows of a map, each a row of its values.

use crate::geometry::Geometry;

/// What is behind the rows: a short piece of a window is copied with so many bytes, the next one over what is too much.
const SLACK: usize = 16;

/// The windows of output row `oy`, rows of `depth` bytes as `(kernel row, kernel column, bytes of a position)`; behind those of a
/// row stands anything. `x` has `stride` bytes a position; what is beside it has the byte `zero`.
pub(super) fn patches(
    g: &Geometry,
    x: &[u8],
    stride: usize,
    zero: u8,
    oy: usize,
    depth: usize,
    out: &mut Vec<u8>,
) {
    let len = g.ow * depth + SLACK;
    if out.len() < len {
        out.resize(len, 0);
    }
    let (row_bytes, piece) = (g.w * stride, g.kw * stride);
    for ox in 0..g.ow {
        let left = ox * g.p.stride.1;
        // Columns of the window before the map, and those within.
        let before = g.p.padding[2].saturating_sub(left).min(g.kw);
        let first = left.saturating_sub(g.p.padding[2]).min(g.w);
        let inside = (g.kw - before).min(g.w - first);
        for ky in 0..g.kh {
            let to = ox * depth + ky * piece;
            let row = (oy * g.p.stride.0 + ky).checked_sub(g.p.padding[0]);
            let Some(row) = row.filter(|row| *row < g.h) else {
                out[to..to + piece].fill(zero);
                continue;
            };
            let from = row * row_bytes + first * stride;
            if inside == g.kw && piece <= SLACK && from + SLACK <= x.len() {
                out[to..to + SLACK].copy_from_slice(&x[from..from + SLACK]);
            } else if inside == g.kw {
                out[to..to + piece].copy_from_slice(&x[from..from + piece]);
            } else {
                out[to..to + piece].fill(zero);
                let (at, len) = (to + before * stride, inside * stride);
                out[at..at + len].copy_from_slice(&x[from..from + len]);
            }
        }
    }
}
