//! The windows of a map, each a row of its values.

use crate::geometry::Geometry;

/// What is behind the rows: a window is written in pieces of so many bytes.
const SLACK: usize = 16;

/// The rows of `count` windows of output row `oy` from column 0 on, each of `depth` bytes from `(kernel row, kernel column,
/// stride)`; behind them they may be written to. `x` has `stride` bytes a position; what is beside it has the byte `zero`.
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
    let row_bytes = g.w * stride;
    let piece = g.kw * stride;
    for ky in 0..g.kh {
        let row = (oy * g.p.stride.0 + ky).checked_sub(g.p.padding[0]);
        let row = row.filter(|row| *row < g.h);
        let row = row.map(|row| &x[row * row_bytes..][..row_bytes]);
        for ox in 0..g.ow {
            let to = ox * depth + ky * piece;
            let Some(row) = row else {
                out[to..to + piece].fill(zero);
                continue;
            };
            let first = ox * g.p.stride.1;
            let (first, pad) = (
                first.saturating_sub(g.p.padding[2]),
                g.p.padding[2].saturating_sub(first).min(g.kw),
            );
            let inside = (g.kw - pad).min(g.w.saturating_sub(first));
            if pad == 0 && inside == g.kw {
                out[to..to + piece].copy_from_slice(&row[first * stride..][..piece]);
            } else {
                let out = &mut out[to..to + piece];
                out.fill(zero);
                let from = (first * stride).min(row.len());
                let (at, len) = (pad * stride, inside * stride);
                out[at..at + len].copy_from_slice(&row[from..from + len]);
            }
        }
    }
}
