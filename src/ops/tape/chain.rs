//! Expansion, depthwise convolution and projection in one pass over the rows of an image, where no backward pass will come.
//!
//! The maps between the three are the widest of a network: here they are never whole. A ring holds the expanded rows that the
//! depthwise kernel sees, and a few rows of its output wait for the projection; both stay in the cache. Every value is the result
//! of the same sums, in the same order, as of three convolutions.

use super::columns::add;
use super::depthwise;
use super::engine::{Engine, Slot};
use super::follow::{Fixed, Follow};
use super::forward::Packs;
use super::plan::taps;
use super::product::{Packed, Rows};
use super::weight::{ConvWeight, packs};
use crate::buffer::Buffer;
use crate::geometry::{Conv2dParams, Geometry, parts};
use crate::micro::Stretch;
use crate::shared::SharedMut;
use crate::simd::Real;
use candle_core::Result;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// Positions the projection takes at once: enough for each panel of its weight to be read for.
const POSITIONS: usize = 64;

/// Tasks from which on they need not be made smaller.
const TASKS: usize = 4;

/// One convolution of a chain.
pub(crate) struct Link<'a> {
    pub weight: &'a dyn ConvWeight,
    pub params: Conv2dParams,
    pub follow: Follow<'a>,
}

/// A convolution and what follows it, ready.
struct Ready<T: Real> {
    g: Geometry,
    packs: Arc<Packs<T>>,
    fixed: Arc<Fixed<T>>,
}

impl<T: Real> Ready<T> {
    fn new(link: &Link, dims: [usize; 4]) -> Result<Option<Self>> {
        let [batch, h, w, c] = dims;
        let weight = link.weight.tensor();
        let g = Geometry::new(&[batch, c, h, w], weight.dims(), link.params)?;
        let kept = link.weight.kept();
        let (Some(fixed), false) = (link.follow.fixed(g.o, kept)?, weight.track_op()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            packs: packs(weight, kept, &g)?,
            g,
            fixed,
        }))
    }

    fn dims(&self) -> [usize; 4] {
        [self.g.batch, self.g.oh, self.g.ow, self.g.o]
    }

    /// A pointwise convolution's weight.
    fn dense(&self) -> Option<&Packed<T>> {
        match &*self.packs {
            Packs::Dense(weight) if self.g.is_pointwise() && self.g.p.groups == 1 => Some(weight),
            _ => None,
        }
    }

    /// The products of a pointwise convolution, rows of `a` from `a_from` on.
    ///
    /// # Safety
    /// No other task may touch the places `out_at` in `out`.
    unsafe fn product(
        &self,
        weight: &Packed<T>,
        a: &[T],
        a_from: usize,
        out_at: &[usize],
        out: &SharedMut<T>,
    ) {
        let c = self.g.c;
        let a_at: Vec<usize> = (0..out_at.len()).map(|p| a_from + p * c).collect();
        for (_, first, columns, at, width) in &weight.panels {
            let product = Rows {
                a,
                a_at: &a_at,
                a_step: 1,
                b: &weight.data,
                b_at: *at,
                b_step: *width,
                stretches: &[Stretch { a: 0, b: 0 }],
                depth: c,
                out_at,
                out_first: *first,
                columns: *columns,
                accumulate: false,
                finish: self.fixed.shifts.as_ref().map(|s| (s, *first)),
            };
            // SAFETY: the caller's promise.
            unsafe { product.run(out) };
        }
    }

    /// What a product did not do in registers.
    fn finish(&self, rows: &mut [T]) {
        if self.fixed.shifts.is_none() {
            self.fixed.transform.apply_in_place(rows);
        }
    }
}

impl<T: Real> Engine<T> {
    /// An inverted residual in one pass: expansion, if there is one, depthwise convolution, projection, and the input added if
    /// `shortcut`. `None` where it has to be done step by step.
    pub(crate) fn chain(
        &mut self,
        x: usize,
        expansion: Option<&Link>,
        [depthwise, projection]: [&Link; 2],
        shortcut: bool,
    ) -> Result<Option<(usize, Arc<()>)>> {
        let slot = &self.slots[x];
        let (Some(values), None, false) = (&slot.values, &slot.transform, slot.tracked) else {
            return Ok(None);
        };
        let mut dims = slot.dims;
        let mut ready = |link: &Link| -> Result<Option<Ready<T>>> {
            let ready = Ready::new(link, dims)?;
            if let Some(ready) = &ready {
                dims = ready.dims();
            }
            Ok(ready)
        };
        let expansion = match expansion {
            Some(link) => match ready(link)? {
                Some(found) => Some(found),
                None => return Ok(None),
            },
            None => None,
        };
        let (Some(depthwise), Some(projection)) = (ready(depthwise)?, ready(projection)?) else {
            return Ok(None);
        };
        let chain = Chain {
            values,
            expansion: &expansion,
            depthwise: &depthwise,
            projection: &projection,
            shortcut,
        };
        if !chain.fits() || (shortcut && dims != slot.dims) {
            return Ok(None);
        }
        let mut y = Buffer::new(dims.iter().product());
        chain.run(&mut y);
        Ok(Some(self.push(Slot::new(dims, y, false))))
    }
}

struct Chain<'a, T: Real> {
    values: &'a Buffer<T>,
    expansion: &'a Option<Ready<T>>,
    depthwise: &'a Ready<T>,
    projection: &'a Ready<T>,
    shortcut: bool,
}

impl<T: Real> Chain<'_, T> {
    /// Ranges of rows of an image for tasks. The first rows of each are expanded by its neighbour too: never many of them.
    fn bands(&self) -> usize {
        let g = &self.depthwise.g;
        let shared = g.kh.saturating_sub(g.p.stride.0);
        let most = match shared {
            0 => g.oh,
            _ => g.oh * g.p.stride.0 / (3 * shared),
        };
        TASKS.div_ceil(g.batch).min(most).max(1)
    }

    fn fits(&self) -> bool {
        let g = &self.depthwise.g;
        g.is_depthwise()
            && matches!(&*self.depthwise.packs, Packs::Depthwise(_))
            && self.projection.dense().is_some()
            && self
                .expansion
                .as_ref()
                .is_none_or(|e| e.dense().is_some())
            // Else the channels of each convolution are divided among the tasks.
            && g.batch * self.bands() > 1
    }

    fn run(&self, y: &mut Buffer<T>) {
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
        let (g, o) = (&self.depthwise.g, self.projection.g.o);
        let (Packs::Depthwise(weight), Some(narrow)) =
            (&*self.depthwise.packs, self.projection.dense())
        else {
            return;
        };
        let [_, _, left, right] = g.p.padding;
        let (s, t) = g.p.stride;
        let count = rows.len().div_ceil(POSITIONS.div_ceil(g.ow));
        // Rows of the ring, of the padded image.
        let most = rows.len().div_ceil(count);
        let (slots, row_len) = ((most - 1) * s + g.kh, (g.w + left + right) * g.c);
        super::forward::room(ring, slots * row_len);
        super::forward::room(wide, most * g.ow * g.c);
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
                depthwise::correlate(ring, &offsets, weight, t * g.c, g.c, out);
                self.depthwise.fixed.transform.apply_in_place(out);
            }
            let at = (image * g.oh + piece.start) * g.ow;
            let positions = piece.len() * g.ow;
            let out_at: Vec<usize> = (at..at + positions).map(|p| p * o).collect();
            // SAFETY: each task has its own rows of the output.
            let out = unsafe {
                self.projection
                    .product(narrow, wide.with_slack(), 0, &out_at, y);
                y.range(at * o, positions * o)
            };
            self.projection.finish(out);
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
        let inputs = self.expansion.as_ref().map_or(g.c, |e| e.g.c);
        let inside = |row: usize| row >= top && row - top < g.h;
        for row in rows.clone().filter(|row| !inside(*row)) {
            ring[row % slots * row_len..][..row_len].fill(T::ZERO);
        }
        let first = rows.start.max(top);
        let rows = first..rows.end.min(top + g.h).max(first);
        let from = (image * g.h + rows.start - top) * g.w;
        let Some(expansion) = self.expansion else {
            for (i, row) in rows.enumerate() {
                let at = row % slots * row_len + left * g.c;
                let source = &self.values[(from + i * g.w) * inputs..][..g.w * inputs];
                ring[at..at + g.w * g.c].copy_from_slice(source);
            }
            return;
        };
        let Some(weight) = expansion.dense() else {
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
            expansion.product(
                weight,
                self.values.with_slack(),
                from * inputs,
                &out_at,
                &shared,
            );
        }
        for row in rows {
            let at = row % slots * row_len + left * g.c;
            expansion.finish(&mut ring[at..at + g.w * g.c]);
        }
    }
}
