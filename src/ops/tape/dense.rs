//! The products of a convolution's tiles: forward, the input's gradient, the weight's gradient.

use super::plan::{Phase, Tap, joined};
use super::window::Window;
use crate::ops::geometry::Geometry;
use crate::ops::micro::{Product, ROWS, SLACK, Stretch, panels, product};
use crate::ops::shared::SharedMut;
use crate::ops::simd::Real;
use rayon::prelude::*;

/// A matrix product over offsets: out[out_at[i] + j] (+)= Σ a[a_at[i] + …] · b[b_at + … + j].
pub(crate) struct Rows<'a, T> {
    pub a: &'a [T],
    pub a_at: &'a [usize],
    pub a_step: usize,
    pub b: &'a [T],
    pub b_at: usize,
    pub b_step: usize,
    pub stretches: &'a [Stretch],
    pub depth: usize,
    pub columns: usize,
    pub accumulate: bool,
}

impl<T: Real> Rows<'_, T> {
    /// Computes it, eight rows at a time.
    ///
    /// # Safety
    /// No other task may touch `columns` values from each `out_at` in `out`.
    pub(crate) unsafe fn run(&self, out: &SharedMut<T>, out_at: &[usize]) {
        let Some(last) = self.depth.checked_sub(1) else {
            return;
        };
        let greatest = |values: &mut dyn Iterator<Item = usize>| values.max().unwrap_or(0);
        let a_end = greatest(&mut self.a_at.iter().copied())
            + greatest(&mut self.stretches.iter().map(|s| s.a))
            + last * self.a_step;
        let b_end = self.b_at
            + greatest(&mut self.stretches.iter().map(|s| s.b))
            + last * self.b_step
            + SLACK;
        assert!(
            a_end < self.a.len() && b_end <= self.b.len() && self.a_at.len() == out_at.len(),
            "product beyond its operands: {a_end} of {}, {b_end} of {}",
            self.a.len(),
            self.b.len()
        );
        for (a_at, out_at) in self.a_at.chunks(ROWS).zip(out_at.chunks(ROWS)) {
            // A short last block repeats its last row: the same sums, written to the same place.
            let row = |i: usize| i.min(a_at.len() - 1);
            let p = Product {
                a: std::array::from_fn(|i| self.a[a_at[row(i)]..].as_ptr()),
                a_step: self.a_step,
                b: self.b[self.b_at..].as_ptr(),
                b_step: self.b_step,
                stretches: self.stretches,
                depth: self.depth,
                // SAFETY: `pointer` checks the range; it is this task's alone by the caller's promise.
                out: std::array::from_fn(|i| unsafe { out.pointer(out_at[row(i)], self.columns) }),
                columns: self.columns,
                accumulate: self.accumulate,
            };
            // SAFETY: every operand was bounded by the assertion above, with a panel's slack behind `b`.
            unsafe { product(&p) };
        }
    }
}

/// A weight as panels of columns, row after row of the sum.
pub(crate) struct Packed<T> {
    pub data: Vec<T>,
    /// Group, first column, columns, place in `data`, width there.
    pub panels: Vec<(usize, usize, usize, usize, usize)>,
}

impl<T: Real> Packed<T> {
    /// For each group `blocks` × `rows` × `columns` values; `start(group, block)` is where they begin in `w`, and `steps` are the
    /// distances there from row to row and from column to column.
    pub(crate) fn new(
        groups: usize,
        [blocks, rows, columns]: [usize; 3],
        w: &[T],
        start: impl Fn(usize, usize) -> usize + Sync,
        (row_step, column_step): (usize, usize),
    ) -> Self {
        let mut list = Vec::new();
        let mut len = 0;
        for group in 0..groups {
            for (first, count) in panels::<T>(columns) {
                let width = count.next_multiple_of(T::vector());
                list.push((group, first, count, len, width));
                len += blocks * rows * width;
            }
        }
        let mut data = vec![T::ZERO; len + SLACK];
        let shared = SharedMut::new(&mut data);
        list.par_iter()
            .for_each(|(group, first, count, at, width)| {
                // SAFETY: each panel is written by one task.
                let panel = unsafe { shared.range(*at, blocks * rows * width) };
                for (block, panel) in panel.chunks_exact_mut((rows * width).max(1)).enumerate() {
                    let from = start(*group, block) + first * column_step;
                    for (row, panel) in panel.chunks_exact_mut(*width).enumerate() {
                        let source = w[from + row * row_step..].iter().step_by(column_step);
                        for (v, w) in panel[..*count].iter_mut().zip(source) {
                            *v = *w;
                        }
                    }
                }
            });
        Self { data, panels: list }
    }

    /// For the forward product: rows are kernel elements and input channels, columns output channels.
    pub(crate) fn forward(g: &Geometry, w: &[T]) -> Self {
        let (inputs, elements) = (g.c / g.p.groups, g.kh * g.kw);
        let outputs = g.o / g.p.groups;
        Self::new(
            g.p.groups,
            [elements, inputs, outputs],
            w,
            |group, element| group * outputs * inputs * elements + element,
            (elements, inputs * elements),
        )
    }

    /// For the input's gradient at one phase: rows are its kernel elements and output channels, columns input channels.
    pub(crate) fn backward(g: &Geometry, w: &[T], phase: &Phase) -> Self {
        let (inputs, elements) = (g.c / g.p.groups, g.kh * g.kw);
        let outputs = g.o / g.p.groups;
        Self::new(
            g.p.groups,
            [phase.taps.len(), outputs, inputs],
            w,
            |group, tap| group * outputs * inputs * elements + phase.taps[tap].element,
            (inputs * elements, elements),
        )
    }
}

/// A window's values, and which part of a plane they are.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a, T> {
    pub values: &'a [T],
    pub window: Window,
    /// Channels.
    pub c: usize,
}

impl<T> Seen<'_, T> {
    /// Where position (row, col) of the plane lies.
    fn at(&self, row: isize, col: isize) -> usize {
        ((row - self.window.row) as usize * self.window.cols + (col - self.window.col) as usize)
            * self.c
    }
}

/// Output rows `rows` of one image; `y_at` is where the image's output begins.
///
/// # Safety
/// These rows of `y` belong to this task alone.
pub(crate) unsafe fn forward<T: Real>(
    g: &Geometry,
    taps: &[Tap],
    weight: &Packed<T>,
    x: Seen<T>,
    rows: std::ops::Range<usize>,
    y: &SharedMut<T>,
    y_at: usize,
) {
    let inputs = g.c / g.p.groups;
    let (s, t) = g.p.stride;
    let positions = || rows.clone().flat_map(|r| (0..g.ow).map(move |c| (r, c)));
    let a_at: Vec<usize> = positions()
        .map(|(r, c)| ((r - rows.start) * s * x.window.cols + c * t) * g.c)
        .collect();
    let out_at: Vec<usize> = positions()
        .map(|(r, c)| y_at + (r * g.ow + c) * g.o)
        .collect();
    let mut shifted = vec![0; out_at.len()];
    for (group, first, columns, at, width) in &weight.panels {
        let stretches = taps
            .iter()
            .enumerate()
            .map(|(i, tap)| Stretch {
                a: (tap.dy as usize * x.window.cols + tap.dx as usize) * g.c + group * inputs,
                b: i * inputs * width,
            })
            .collect();
        let (stretches, depth) = joined(stretches, inputs, 1, *width);
        let product = Rows {
            a: x.values,
            a_at: &a_at,
            a_step: 1,
            b: &weight.data,
            b_at: *at,
            b_step: *width,
            stretches: &stretches,
            depth,
            columns: *columns,
            accumulate: false,
        };
        for (shifted, at) in shifted.iter_mut().zip(&out_at) {
            *shifted = at + group * (g.o / g.p.groups) + first;
        }
        // SAFETY: the caller's promise.
        unsafe { product.run(y, &shifted) };
    }
}

/// The input's gradient at the positions `inputs` (rows i) of every phase of one image; `dx_at` is where the image begins.
///
/// # Safety
/// Rows `stride · inputs` of `dx` belong to this task alone.
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn backward_input<T: Real>(
    g: &Geometry,
    phases: &[Phase],
    weights: &[Packed<T>],
    dy: Seen<T>,
    inputs: std::ops::Range<usize>,
    dx: &SharedMut<T>,
    dx_at: usize,
    accumulate: bool,
) {
    let outputs = g.o / g.p.groups;
    let (s, t) = g.p.stride;
    for (phase, weight) in phases.iter().zip(weights) {
        let positions = || {
            (inputs.start..inputs.end.min(phase.rows))
                .flat_map(|i| (0..phase.cols).map(move |j| (i, j)))
        };
        let out_at: Vec<usize> = positions()
            .map(|(i, j)| dx_at + ((phase.row + s * i) * g.w + phase.col + t * j) * g.c)
            .collect();
        if phase.taps.is_empty() {
            if !accumulate {
                for at in out_at {
                    // SAFETY: a position of this task.
                    unsafe { dx.range(at, g.c) }.fill(T::ZERO);
                }
            }
            continue;
        }
        // From the window's start, so that every stretch's offset is positive.
        let a_at: Vec<usize> = positions()
            .map(|(i, j)| (i * dy.window.cols + j) * g.o)
            .collect();
        let origin = (inputs.start * dy.window.cols) * g.o;
        let a_at: Vec<usize> = a_at.into_iter().map(|a| a - origin).collect();
        let mut shifted = vec![0; out_at.len()];
        for (group, first, columns, at, width) in &weight.panels {
            let stretches = phase
                .taps
                .iter()
                .enumerate()
                .map(|(n, tap)| Stretch {
                    a: dy.at(inputs.start as isize + tap.dy, tap.dx) + group * outputs,
                    b: n * outputs * width,
                })
                .collect();
            let (stretches, depth) = joined(stretches, outputs, 1, *width);
            let product = Rows {
                a: dy.values,
                a_at: &a_at,
                a_step: 1,
                b: &weight.data,
                b_at: *at,
                b_step: *width,
                stretches: &stretches,
                depth,
                columns: *columns,
                accumulate,
            };
            for (shifted, at) in shifted.iter_mut().zip(&out_at) {
                *shifted = at + group * (g.c / g.p.groups) + first;
            }
            // SAFETY: the caller's promise.
            unsafe { product.run(dx, &shifted) };
        }
    }
}

/// Adds a tile's share to the weight's gradient, kept as (O, kernel height, kernel width, C / groups).
pub(crate) fn backward_weight<T: Real>(
    g: &Geometry,
    taps: &[Tap],
    x: Seen<T>,
    dy: Seen<T>,
    rows: std::ops::Range<usize>,
    dw: &mut [T],
) {
    let inputs = g.c / g.p.groups;
    let outputs = g.o / g.p.groups;
    let (s, t) = g.p.stride;
    let row_len = taps.len() * inputs;
    // Kernel elements side by side are columns side by side.
    let wide = g.p.dilation.1 == 1 && g.p.groups == 1;
    let (run, columns) = if wide {
        (g.kw, g.kw * inputs)
    } else {
        (1, inputs)
    };
    let stretches: Vec<Stretch> = rows
        .clone()
        .map(|r| Stretch {
            a: dy.at(r as isize, 0),
            b: (r - rows.start) * s * x.window.cols * g.c,
        })
        .collect();
    let (stretches, depth) = joined(stretches, g.ow, g.o, t * g.c);
    let shared = SharedMut::new(dw);
    for group in 0..g.p.groups {
        let a_at: Vec<usize> = (0..outputs).map(|o| group * outputs + o).collect();
        for n in (0..taps.len()).step_by(run) {
            let tap = taps[n];
            let start = (tap.dy as usize * x.window.cols + tap.dx as usize) * g.c + group * inputs;
            for (first, count) in panels::<T>(columns) {
                let product = Rows {
                    a: dy.values,
                    a_at: &a_at,
                    a_step: g.o,
                    b: x.values,
                    b_at: start + first,
                    b_step: t * g.c,
                    stretches: &stretches,
                    depth,
                    columns: count,
                    accumulate: true,
                };
                let out_at: Vec<usize> = a_at
                    .iter()
                    .map(|o| o * row_len + n * inputs + first)
                    .collect();
                // SAFETY: `dw` is this task's own.
                unsafe { product.run(&shared, &out_at) };
            }
        }
    }
}
