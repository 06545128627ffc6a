//! Expansion, depthwise convolution and projection in one pass over the rows of an image, where no backward pass will come.
//!
//! The maps between the three are the widest of a network: here they are never whole. A ring holds the expanded rows that the
//! depthwise kernel sees, and a few rows of its output wait for the projection; both stay in the cache. Every value is the result
//! of the same sums, in the same order, as of three convolutions.

use super::depthwise;
use super::finish::Fixed;
use super::packs::{Pack, Packs};
use super::plan::taps;
use super::product::{Left, Packed};
use crate::buffer::Buffer;
use crate::columns::add;
use crate::geometry::Geometry;
use crate::real::Real;
use crate::shared::SharedMut;
use crate::tasks::{parts, wished};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Positions the projection takes at once: enough for each panel of its weight to be read for.
const POSITIONS: usize = 64;

/// A convolution and what follows it, ready.
pub struct Link<T: Real> {
    pub g: Geometry,
    pub packs: Arc<Packs<T>>,
    pub fixed: Arc<Fixed<T>>,
}

impl<T: Real> Link<T> {
    /// (batch, H, W, channels) of the result.
    pub fn out_dims(&self) -> [usize; 4] {
        [self.g.batch, self.g.oh, self.g.ow, self.g.o]
    }

    /// The same as a pointwise convolution, if it is one.
    fn pointwise(&self) -> Option<Pointwise<'_, T>> {
        match &self.packs.0 {
            Pack::Dense(weight) if self.g.is_pointwise() && self.g.p.groups == 1 => {
                Some(Pointwise { link: self, weight })
            }
            _ => None,
        }
    }
}

/// A pointwise convolution and its weight.
struct Pointwise<'a, T: Real> {
    link: &'a Link<T>,
    weight: &'a Packed<T>,
}

impl<T: Real> Pointwise<'_, T> {
    /// The products, rows of `a` from `a_from` on.
    ///
    /// # Safety
    /// No other task may touch the places `out_at` in `out`.
    unsafe fn product(&self, a: &[T], a_from: usize, out_at: &[usize], out: &SharedMut<T>) {
        let (weight, c) = (self.weight, self.link.g.c);
        let a_at: Vec<usize> = (0..out_at.len()).map(|p| a_from + p * c).collect();
        let left = Left {
            values: a,
            at: &a_at,
            out_at,
            accumulate: false,
            finish: Some(&self.link.fixed.shifts),
        };
        for panel in &weight.panels {
            // SAFETY: the caller's promise.
            unsafe { weight.times(panel, &left, c, std::iter::once(0), out) };
        }
    }
}

/// The three convolutions over some values; with a `shortcut` the values are added to the result.
pub struct Chain<'a, T: Real> {
    values: &'a Buffer<T>,
    expansion: Option<Pointwise<'a, T>>,
    depthwise: &'a Link<T>,
    /// The depthwise convolution's.
    weight: &'a [T],
    projection: Pointwise<'a, T>,
    shortcut: bool,
}

impl<'a, T: Real> Chain<'a, T> {
    /// Two or three convolutions, if they are such and can be done in one pass, and it is worth it.
    pub fn new(values: &'a Buffer<T>, links: &'a [Link<T>], shortcut: bool) -> Option<Self> {
        let (expansion, depthwise, projection) = match links {
            [depthwise, projection] => (None, depthwise, projection),
            [expansion, depthwise, projection] => {
                (Some(expansion.pointwise()?), depthwise, projection)
            }
            _ => return None,
        };
        let Pack::Depthwise(weight) = &depthwise.packs.0 else {
            return None;
        };
        let chain = Self {
            values,
            expansion,
            depthwise,
            weight,
            projection: projection.pointwise()?,
            shortcut,
        };
        // Else the channels of each convolution are divided among the tasks.
        (depthwise.g.batch * chain.bands() > 1).then_some(chain)
    }

    /// Ranges of rows of an image for tasks. The first rows of each are expanded by its neighbour too: never many of them.
    fn bands(&self) -> usize {
        let g = &self.depthwise.g;
        let shared = g.kh.saturating_sub(g.p.stride.0);
        let most = match shared {
            0 => g.oh,
            _ => g.oh * g.p.stride.0 / (3 * shared),
        };
        wished().div_ceil(g.batch).min(most).max(1)
    }

    /// Writes the result.
    pub fn run(&self, y: &mut Buffer<T>) {
        let g = &self.depthwise.g;
        let bands = parts(g.oh, self.bands());
        let tasks: Vec<(usize, &Range<usize>)> = (0..g.batch)
            .flat_map(|image| bands.iter().map(move |rows| (image, rows)))
            .collect();
        let shared = SharedMut::new(y);
        tasks.into_par_iter().for_each_init(
            || [(); 2].map(|()| Buffer::new(0)),
            |scratch, (image, rows)| self.band(image, rows, scratch, &shared),
        );
    }

    /// Output rows `rows` of one image.
    fn band(
        &self,
        image: usize,
        rows: &Range<usize>,
        [ring, wide]: &mut [Buffer<T>; 2],
        y: &SharedMut<T>,
    ) {
        let (g, o) = (&self.depthwise.g, self.projection.link.g.o);
        let [_, _, left, right] = g.p.padding;
        let (s, t) = g.p.stride;
        let count = rows.len().div_ceil(POSITIONS.div_ceil(g.ow));
        // Rows of the ring, of the padded image.
        let most = rows.len().div_ceil(count);
        let (slots, row_len) = ((most - 1) * s + g.kh, (g.w + left + right) * g.c);
        ring.reserve(slots * row_len);
        wide.reserve(most * g.ow * g.c);
        for row in ring[..slots * row_len].chunks_exact_mut(row_len) {
            row[..left * g.c].fill(T::ZERO);
            row[(left + g.w) * g.c..].fill(T::ZERO);
        }
        let taps = taps(g);
        let mut filled = rows.start * s;
        for piece in parts(rows.len(), count) {
            let piece = rows.start + piece.start..rows.start + piece.end;
            let end = (piece.end - 1) * s + g.kh;
            self.fill(
                image,
                filled.max(piece.start * s)..end,
                ring,
                (slots, row_len),
            );
            filled = end;
            for (r, out) in piece
                .clone()
                .zip(wide[..piece.len() * g.ow * g.c].chunks_exact_mut(g.ow * g.c))
            {
                let offsets: Vec<usize> = taps
                    .iter()
                    .map(|tap| (r * s + tap.dy as usize) % slots * row_len + tap.dx as usize * g.c)
                    .collect();
                let row = depthwise::Sweep {
                    rows: 1,
                    cols: g.ow,
                    c: g.c,
                    source: (0, t * g.c),
                    out: (0, g.c),
                };
                depthwise::correlate(row, ring, &offsets, self.weight, false, out);
                self.depthwise.fixed.transform.apply_in_place(out);
            }
            let at = (image * g.oh + piece.start) * g.ow;
            let positions = piece.len() * g.ow;
            let out_at: Vec<usize> = (at..at + positions).map(|p| p * o).collect();
            // SAFETY: each task has its own rows of the output.
            let out = unsafe {
                self.projection.product(wide.with_slack(), 0, &out_at, y);
                y.range(at * o, positions * o)
            };
            if self.shortcut {
                add(&self.values[at * o..(at + positions) * o], out);
            }
        }
    }

    /// Puts rows of the padded image into the ring, expanded.
    fn fill(
        &self,
        image: usize,
        rows: Range<usize>,
        ring: &mut Buffer<T>,
        (slots, row_len): (usize, usize),
    ) {
        let g = &self.depthwise.g;
        let [top, _, left, _] = g.p.padding;
        let expansion = self.expansion.as_ref();
        let inputs = expansion.map_or(g.c, |e| e.link.g.c);
        let inside = |row: usize| row >= top && row - top < g.h;
        for row in rows.clone().filter(|row| !inside(*row)) {
            ring[row % slots * row_len..][..row_len].fill(T::ZERO);
        }
        let first = rows.start.max(top);
        let rows = first..rows.end.min(top + g.h).max(first);
        let from = (image * g.h + rows.start - top) * g.w;
        let Some(expansion) = expansion else {
            for (i, row) in rows.enumerate() {
                let at = row % slots * row_len + left * g.c;
                let source = &self.values[(from + i * g.w) * inputs..][..g.w * inputs];
                ring[at..at + g.w * g.c].copy_from_slice(source);
            }
            return;
        };
        let out_at: Vec<usize> = rows
            .clone()
            .flat_map(|row| {
                let at = row % slots * row_len + left * g.c;
                (0..g.w).map(move |q| at + q * g.c)
            })
            .collect();
        let shared = SharedMut::new(ring);
        // SAFETY: the ring is this task's own.
        unsafe {
            expansion.product(self.values.with_slack(), from * inputs, &out_at, &shared);
        }
    }
}
