//! How one convolution is cut into tiles, and which spans of memory its sums run over.

use super::window::Window;
use crate::geometry::Geometry;
use crate::micro::Span;
use std::ops::Range;

/// Output rows of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub image: usize,
    pub rows: Range<usize>,
}

/// A kernel element, and where it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tap {
    /// Place in the kernel, row by row.
    pub element: usize,
    /// Rows and columns from the window's position.
    pub dy: isize,
    pub dx: isize,
}

impl Tap {
    /// Where it reads, from the position of a window of `cols` columns and `c` channels that begins before it.
    pub(crate) fn offset(&self, cols: usize, c: usize) -> usize {
        (self.dy as usize * cols + self.dx as usize) * c
    }
}

/// Input positions that see the output through the same kernel elements: those whose row and column leave the same remainder by
/// the stride.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    /// The remainders.
    pub row: usize,
    pub col: usize,
    /// Positions of this phase in the input: i ↦ row + stride · i.
    pub rows: usize,
    pub cols: usize,
    /// Output position minus i, for each kernel element; in order of position.
    pub taps: Vec<Tap>,
}

/// A pointwise convolution sees no neighbours: all its positions are one long column.
pub fn flattened(mut g: Geometry) -> Geometry {
    if g.is_pointwise() {
        let rows = g.batch * g.h * g.w;
        (g.batch, g.h, g.w, g.oh, g.ow) = (1, rows, 1, rows, 1);
    }
    g
}

/// Cuts the output so that a tile's input and output stay in the second-level cache. Depends on sizes alone.
pub(crate) fn tiles(g: &Geometry) -> Vec<Tile> {
    let positions = if g.is_depthwise() {
        // Neighbouring tiles copy the same rows around them: the more rows, the fewer copies.
        81_920 / g.c
    } else {
        (49_152 / (g.c + g.o)).clamp(32, 512)
    };
    let rows = (positions / g.ow).clamp(1, g.oh.max(1));
    // Tiles of like height, a whole number of eights where a row is one position.
    let count = g.oh.div_ceil(rows);
    let rows = if g.ow == 1 {
        g.oh.div_ceil(count).next_multiple_of(8)
    } else {
        g.oh.div_ceil(count)
    };
    (0..g.batch)
        .flat_map(|image| {
            (0..g.oh).step_by(rows).map(move |r| Tile {
                image,
                rows: r..(r + rows).min(g.oh),
            })
        })
        .collect()
}

/// The part of the input that a tile reads.
pub(crate) fn input_window(g: &Geometry, rows: &Range<usize>) -> Window {
    let [top, _, left, _] = g.p.padding;
    Window {
        row: (rows.start * g.p.stride.0) as isize - top as isize,
        rows: (rows.len() - 1) * g.p.stride.0 + g.p.dilation.0 * (g.kh - 1) + 1,
        col: -(left as isize),
        cols: (g.ow - 1) * g.p.stride.1 + g.p.dilation.1 * (g.kw - 1) + 1,
    }
}

/// The kernel elements, from the first position that an output reads.
pub(crate) fn taps(g: &Geometry) -> Vec<Tap> {
    (0..g.kh * g.kw)
        .map(|element| Tap {
            element,
            dy: (element / g.kw * g.p.dilation.0) as isize,
            dx: (element % g.kw * g.p.dilation.1) as isize,
        })
        .collect()
}

/// The phases of the input.
pub(crate) fn phases(g: &Geometry) -> Vec<Phase> {
    let (s, t) = g.p.stride;
    let [top, _, left, _] = g.p.padding;
    let mut phases = Vec::new();
    for row in 0..s.min(g.h) {
        for col in 0..t.min(g.w) {
            let mut taps: Vec<Tap> = taps(g)
                .into_iter()
                .filter_map(|tap| {
                    let y = (row + top) as isize - tap.dy;
                    let x = (col + left) as isize - tap.dx;
                    (y.rem_euclid(s as isize) == 0 && x.rem_euclid(t as isize) == 0).then(|| Tap {
                        element: tap.element,
                        dy: y.div_euclid(s as isize),
                        dx: x.div_euclid(t as isize),
                    })
                })
                .collect();
            taps.sort_by_key(|t| (t.dy, t.dx));
            phases.push(Phase {
                row,
                col,
                rows: (g.h - row).div_ceil(s),
                cols: (g.w - col).div_ceil(t),
                taps,
            });
        }
    }
    phases
}

/// The rows i of the input's phases that belong to a tile: its own rows, and for the last tile of an image all that are left.
pub(crate) fn phase_rows(g: &Geometry, rows: &Range<usize>) -> Range<usize> {
    let all = g.h.div_ceil(g.p.stride.0);
    let end = if rows.end == g.oh { all } else { rows.end };
    rows.start.min(all)..end.min(all).max(rows.start.min(all))
}

/// The part of the output that a tile's backward pass reads: its own rows, and what its share of the input sees.
pub(crate) fn output_window(g: &Geometry, phases: &[Phase], rows: &Range<usize>) -> Window {
    let inputs = phase_rows(g, rows);
    let (mut top, mut bottom) = (rows.start as isize, rows.end as isize);
    let (mut left, mut right) = (0, g.ow as isize);
    if !inputs.is_empty() {
        for phase in phases {
            for tap in &phase.taps {
                top = top.min(inputs.start as isize + tap.dy);
                bottom = bottom.max(inputs.end as isize + tap.dy);
                left = left.min(tap.dx);
                right = right.max(phase.cols as isize + tap.dx);
            }
        }
    }
    Window {
        row: top,
        rows: (bottom - top) as usize,
        col: left,
        cols: (right - left) as usize,
    }
}

/// Joins spans that follow one another in both operands into longer ones, where all can be joined alike.
pub(crate) fn joined(
    spans: Vec<Span>,
    depth: usize,
    a_step: usize,
    b_step: usize,
) -> (Vec<Span>, usize) {
    let follows =
        |p: &[Span]| p[1].a == p[0].a + depth * a_step && p[1].b == p[0].b + depth * b_step;
    let run = 1 + spans.windows(2).take_while(|p| follows(p)).count();
    let alike = spans.len().is_multiple_of(run)
        && spans.chunks(run).all(|chunk| chunk.windows(2).all(follows));
    if run == 1 || !alike {
        return (spans, depth);
    }
    (spans.iter().step_by(run).copied().collect(), depth * run)
}
