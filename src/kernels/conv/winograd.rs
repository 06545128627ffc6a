//! 3 × 3 convolutions with fewer multiplications: F(2 × 2, 3 × 3) of Winograd's minimal filtering (Lavin and Gray 2016).
//!
//! Two by two outputs come from four by four inputs. With B, G and A as in the paper, V = Bᵀ·d·B of the inputs and U = G·g·Gᵀ of
//! the kernel, the outputs are Aᵀ·(U ⊙ V)·A: sixteen products of matrices (patches × C)·(C × O) instead of 4 · 9, which is 2.25
//! times fewer multiplications. The input's gradient is the same with the kernel turned round, and the kernel's gradient is Gᵀ·(Σ
//! (A·dy·Aᵀ) ⊙ V)·G, the sum running over all patches.

// Indices are places in a matrix.
#![allow(clippy::needless_range_loop)]

use super::product::{Packed, Panel, Rows};
use super::transforms::{gradient_of, input_of, kernels_in, kernels_out, output_of};
use super::window::Window;
use crate::buffer::Buffer;
use crate::geometry::Geometry;
use crate::micro::{Span, panels};
use crate::real::Real;
use crate::shared::SharedMut;
use crate::tasks::{parts, wished};
use rayon::prelude::*;
use std::ops::Range;

/// Copies a range of all values.
type Copying<'a, T> = dyn Fn(Range<usize>, &mut [T]) + Sync + 'a;

/// A map's values as they are seen.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a, T: Real> {
    /// All of them, if nothing is done to them when they are read.
    pub lying: Option<&'a Buffer<T>>,
    pub copy: &'a Copying<'a, T>,
}

/// Takes a stretch of an image's results: (image, range, values).
type Write<'a, T> = dyn FnMut(usize, Range<usize>, &[T]) + 'a;

/// Patches a task works on at once: enough rows for the products, few enough for the second-level cache.
const PATCHES: usize = 64;

/// Channels from which on the fewer multiplications outweigh the transformations.
const CHANNELS: usize = 32;

/// Patches of an image from which on they outweigh the transformation of the kernel and of its gradient.
const ENOUGH: usize = 16;

/// Whether the method fits a convolution. Never by the batch: an image's result does not depend on its company.
pub fn fits(g: &Geometry) -> bool {
    g.oh.div_ceil(2) * g.ow.div_ceil(2) >= ENOUGH
        && (g.kh, g.kw) == (3, 3)
        && g.p.stride == (1, 1)
        && g.p.dilation == (1, 1)
        && g.p.groups == 1
        && g.p.padding.iter().all(|p| *p <= 2)
        && g.c.min(g.o) >= CHANNELS
}

/// The convolution that gives the input's gradient from the output's.
pub(crate) fn turned(g: &Geometry) -> Geometry {
    let mut back = *g;
    (back.c, back.h, back.w) = (g.o, g.oh, g.ow);
    (back.o, back.oh, back.ow) = (g.c, g.h, g.w);
    back.p.padding = g.p.padding.map(|p| 2 - p);
    back
}

/// All patches of a batch, in ranges for tasks; by sizes alone.
pub(crate) fn ranges(g: &Geometry) -> Vec<Range<usize>> {
    let all = g.batch * g.oh.div_ceil(2) * g.ow.div_ceil(2);
    parts(all, all.div_ceil(PATCHES))
}

/// The panels of a weight, in groups for tasks: all of them, unless there are few ranges of patches. Each group reads the patches
/// for itself.
pub(crate) fn groups<T: Real>(weight: &Packed<T>, ranges: usize) -> Vec<&[Panel]> {
    let panels = weight.panels.len();
    parts(panels, wished().div_ceil(ranges))
        .into_iter()
        .map(|part| &weight.panels[part])
        .collect()
}

/// (image, first output row, first output column) of a patch.
fn place(g: &Geometry, patch: usize) -> (usize, usize, usize) {
    let (rows, cols) = (g.oh.div_ceil(2), g.ow.div_ceil(2));
    (
        patch / (rows * cols),
        patch / cols % rows * 2,
        patch % cols * 2,
    )
}

/// The kernel's U, packed for the products: sixteen blocks of (C × O). With `turn`, of the kernel that gives the input's
/// gradient.
pub(crate) fn pack<T: Real>(g: &Geometry, w: &[T], turn: bool) -> Packed<T> {
    let (c, o) = (g.c, g.o);
    // As (16, O, C).
    let n = apart(o * c);
    let mut u = Buffer::new(16 * n);
    let shared = SharedMut::new(&mut u);
    let kernels = w.par_chunks_exact(c * 9).enumerate();
    kernels.for_each(|(row, w)| {
        // SAFETY: each task has its own output channel in all sixteen.
        let out = std::array::from_fn(|xi| unsafe { shared.range(xi * n + row * c, c) });
        kernels_in(w, turn, out);
    });
    let (rows, columns, steps) = if turn { (o, c, (c, 1)) } else { (c, o, (1, c)) };
    Packed::new(1, [16, rows, columns], &u, |_, block| block * n, steps)
}

/// Scratch of one task.
pub(crate) struct Scratch<T: Real> {
    patch: Vec<T>,
    v: Buffer<T>,
    m: Buffer<T>,
    y: Vec<T>,
}

impl<T: Real> Default for Scratch<T> {
    fn default() -> Self {
        Self {
            patch: Vec::new(),
            v: Buffer::new(0),
            m: Buffer::new(0),
            y: Vec::new(),
        }
    }
}

/// From one of sixteen matrices to the next, of `len` values: an odd number of cache lines, so that the lines that a
/// transformation writes or reads together are not all of one set of the first-level cache.
fn apart(len: usize) -> usize {
    const LINE: usize = 16;
    (len.div_ceil(LINE) | 1) * LINE
}

/// V of the patches: sixteen times (patch, C), [`apart`].
fn transform_inputs<T: Real>(
    g: &Geometry,
    patches: Range<usize>,
    patch: &mut Vec<T>,
    v: &mut Buffer<T>,
    x: Source<T>,
) {
    patch.resize(16 * g.c, T::ZERO);
    let step = apart(patches.len() * g.c);
    v.reserve(16 * step);
    for (i, p) in patches.enumerate() {
        let (image, row, col) = place(g, p);
        let window = Window {
            row: row as isize - g.p.padding[0] as isize,
            rows: 4,
            col: col as isize - g.p.padding[2] as isize,
            cols: 4,
        };
        let (at, v) = (image * g.in_plane() * g.c, &mut v[i * g.c..]);
        match x.lying {
            Some(x) if window.is_within(g.h, g.w) => {
                let place = window.row as usize * g.w + window.col as usize;
                input_of(&x[at + place * g.c..], (g.w * g.c, g.c), g.c, v, step);
            }
            _ => {
                window.fill((g.h, g.w, g.c), patch, |range, out| {
                    (x.copy)(at + range.start..at + range.end, out);
                });
                input_of(patch, (4 * g.c, g.c), g.c, v, step);
            }
        }
    }
}

/// Computes the outputs of some patches, those of some of the weight's panels. `write(image, range, values)` takes spans of output
/// rows, and `whole(rows)` sees all of the outputs before, row after row.
#[allow(clippy::too_many_arguments)]
pub(crate) fn forward<T: Real>(
    g: &Geometry,
    weight: &Packed<T>,
    panels: &[Panel],
    patches: Range<usize>,
    scratch: &mut Scratch<T>,
    x: Source<T>,
    whole: &mut dyn FnMut(&mut [T]),
    write: &mut Write<T>,
) {
    let Scratch { patch, v, m, y } = scratch;
    transform_inputs(g, patches.clone(), patch, v, x);
    // The output channels of these panels.
    let from = panels.first().map_or(0, |p| p.1);
    let outputs: usize = panels.iter().map(|p| p.2).sum();
    let count = patches.len();
    let (v_step, m_step) = (apart(count * g.c), apart(count * outputs));
    m.reserve(16 * m_step);
    let shared = SharedMut::new(m);
    for xi in 0..16 {
        let a_at: Vec<usize> = (0..count).map(|t| xi * v_step + t * g.c).collect();
        let out_at: Vec<usize> = (0..count).map(|t| xi * m_step + t * outputs).collect();
        for (_, first, columns, at, width) in panels {
            let product = Rows {
                a: v.with_slack(),
                a_at: &a_at,
                a_step: 1,
                b: &weight.data,
                b_at: at + xi * g.c * width,
                b_step: *width,
                spans: &[Span { a: 0, b: 0 }],
                depth: g.c,
                out_at: &out_at,
                out_first: first - from,
                columns: *columns,
                accumulate: false,
                finish: None,
            };
            // SAFETY: `m` is this task's own.
            unsafe { product.run(&shared) };
        }
    }
    // The outputs that there are, in order of patches; two rows of one or two columns each.
    y.clear();
    patch.resize(4 * outputs, T::ZERO);
    let mut places = Vec::with_capacity(4 * patches.len());
    for (i, p) in patches.enumerate() {
        let (image, row, col) = place(g, p);
        output_of(
            &m[i * outputs..],
            (4 * m_step, m_step),
            outputs,
            patch,
            outputs,
        );
        let cols = (g.ow - col).min(2);
        for i in 0..(g.oh - row).min(2) {
            let at = ((row + i) * g.ow + col) * g.o + from;
            y.extend_from_slice(&patch[2 * i * outputs..(2 * i + cols) * outputs]);
            if outputs == g.o {
                places.push((image, at..at + cols * g.o));
            } else {
                places.extend((0..cols).map(|j| (image, at + j * g.o..at + j * g.o + outputs)));
            }
        }
    }
    whole(y);
    let mut from = 0;
    for (image, range) in places {
        let to = from + range.len();
        write(image, range, &y[from..to]);
        from = to;
    }
}

/// The share of some patches in Σ (A·dy·Aᵀ) ⊙ V, kept as (16, O, C): written, or added to what is there.
pub(crate) fn backward_weight<T: Real>(
    g: &Geometry,
    patches: Range<usize>,
    accumulate: bool,
    scratch: &mut Scratch<T>,
    x: Source<T>,
    dy: Source<T>,
    du: &mut [T],
) {
    let Scratch { patch, v, m, .. } = scratch;
    transform_inputs(g, patches.clone(), patch, v, x);
    let count = patches.len();
    let (v_step, m_step) = (apart(count * g.c), apart(count * g.o));
    m.reserve(16 * m_step);
    patch.resize(4 * g.o, T::ZERO);
    for (i, p) in patches.enumerate() {
        let (image, row, col) = place(g, p);
        let window = Window {
            row: row as isize,
            rows: 2,
            col: col as isize,
            cols: 2,
        };
        let at = image * g.out_plane() * g.o;
        window.fill((g.oh, g.ow, g.o), patch, |range, out| {
            (dy.copy)(at + range.start..at + range.end, out);
        });
        gradient_of(patch, (2 * g.o, g.o), g.o, &mut m[i * g.o..], m_step);
    }
    let shared = SharedMut::new(du);
    for xi in 0..16 {
        let a_at: Vec<usize> = (0..g.o).map(|o| xi * m_step + o).collect();
        let out_at: Vec<usize> = (0..g.o).map(|o| (xi * g.o + o) * g.c).collect();
        for (first, columns) in panels::<T>(g.c) {
            let product = Rows {
                a: m.with_slack(),
                a_at: &a_at,
                a_step: g.o,
                b: v.with_slack(),
                b_at: xi * v_step + first,
                b_step: g.c,
                spans: &[Span { a: 0, b: 0 }],
                depth: count,
                out_at: &out_at,
                out_first: first,
                columns,
                accumulate,
                finish: None,
            };
            // SAFETY: `du` is this task's own.
            unsafe { product.run(&shared) };
        }
    }
}

/// Gᵀ·du·G: from (16, O, C) to candle's (O, C, 3, 3).
pub(crate) fn weight_gradient<T: Real>(g: &Geometry, du: &[T]) -> Vec<T> {
    let n = du.len() / 16;
    let mut dw = vec![T::ZERO; 9 * g.o * g.c];
    let kernels = dw.par_chunks_mut(9 * g.c).enumerate();
    kernels.for_each(|(o, dw)| kernels_out(&du[o * g.c..], n, dw));
    dw
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Conv2dParams;

    #[test]
    fn the_method_is_chosen_by_the_image_and_not_by_the_batch() {
        let fits = |batch: usize, size: usize, channels: usize| {
            let p = Conv2dParams {
                padding: [1; 4],
                ..Default::default()
            };
            let x = [batch, channels, size, size];
            fits(&Geometry::new(&x, &[channels, channels, 3, 3], p).unwrap())
        };
        for batch in [1, 2, 64] {
            assert!(fits(batch, 14, 32) && fits(batch, 7, 512));
            assert!(!fits(batch, 6, 512) && !fits(batch, 56, 31));
        }
    }
}
