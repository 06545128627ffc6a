//! The products of a convolution's tiles: forward, the input's gradient, the weight's gradient.

use super::columns::Transform;
use super::plan::{Phase, Tap, joined};
use super::window::Window;
use crate::ops::buffer::Buffer;
use crate::ops::geometry::Geometry;
use crate::ops::micro::{Finish, Product, SLACK, Stretch, panels, product};
use crate::ops::shared::SharedMut;
use crate::ops::simd::Real;
use rayon::prelude::*;

/// A matrix product over offsets: out[out_at[i] + out_first + j] (+)= Σ a[a_at[i] + …] · b[b_at + … + j].
pub(crate) struct Rows<'a, T> {
    pub a: &'a [T],
    pub a_at: &'a [usize],
    pub a_step: usize,
    pub b: &'a [T],
    pub b_at: usize,
    pub b_step: usize,
    pub stretches: &'a [Stretch],
    pub depth: usize,
    pub out_at: &'a [usize],
    pub out_first: usize,
    pub columns: usize,
    pub accumulate: bool,
    /// What is done to each column before it is written, and the first column's place in it.
    pub finish: Option<(&'a Shifts<T>, usize)>,
}

/// One scale and shift a column with a panel's slack behind them, and an interval to clamp to.
pub(crate) struct Shifts<T> {
    scale: Vec<T>,
    shift: Vec<T>,
    bounds: (T, T),
}

impl<T: Real> Shifts<T> {
    /// Of a transformation that follows no curve, over `channels`.
    pub(crate) fn new(transform: &Transform<T>, channels: usize) -> Option<Self> {
        let padded = |values: &[T]| {
            let mut padded = values[..channels].to_vec();
            padded.resize(channels + SLACK, T::ZERO);
            padded
        };
        transform.curve.is_none().then(|| Self {
            scale: padded(&transform.scale),
            shift: padded(&transform.shift),
            bounds: transform.bounds,
        })
    }
}

impl<T: Real> Rows<'_, T> {
    /// Computes it.
    ///
    /// # Safety
    /// No other task may touch `columns` values from each `out_at + out_first` in `out`.
    pub(crate) unsafe fn run(&self, out: &SharedMut<T>) {
        let Some(last) = self.depth.checked_sub(1) else {
            return;
        };
        let greatest = |values: &[usize]| values.iter().copied().max();
        let (Some(a_last), Some(out_last)) = (greatest(self.a_at), greatest(self.out_at)) else {
            return;
        };
        let (mut a_far, mut b_far) = (0, 0);
        for s in self.stretches {
            (a_far, b_far) = (a_far.max(s.a), b_far.max(s.b));
        }
        let a_end = a_last + a_far + last * self.a_step;
        let b_end = self.b_at + b_far + last * self.b_step + SLACK;
        assert!(
            a_end < self.a.len() && b_end <= self.b.len() && self.a_at.len() == self.out_at.len(),
            "product beyond its operands: {a_end} of {}, {b_end} of {}",
            self.a.len(),
            self.b.len()
        );
        let p = Product {
            a: self.a.as_ptr(),
            a_at: self.a_at,
            a_step: self.a_step,
            b: self.b[self.b_at..].as_ptr(),
            b_step: self.b_step,
            stretches: self.stretches,
            depth: self.depth,
            // SAFETY: `pointer` checks the range up to the last row; it is this task's alone by the caller's promise.
            out: unsafe {
                out.pointer(self.out_first, out_last + self.columns);
                out.pointer(self.out_first, 0)
            },
            out_at: self.out_at,
            columns: self.columns,
            accumulate: self.accumulate,
            finish: self.finish.map(|(shifts, first)| Finish {
                scale: shifts.scale[first..first + SLACK].as_ptr(),
                shift: shifts.shift[first..first + SLACK].as_ptr(),
                bounds: shifts.bounds,
            }),
        };
        // SAFETY: every operand was bounded above, with a panel's slack behind `b`, scale and shift.
        unsafe { product(&p) };
    }
}

/// A weight as panels of columns, row after row of the sum.
pub(crate) struct Packed<T: Real> {
    pub data: Buffer<T>,
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
        let mut data = Buffer::new(len + SLACK);
        data[len..].fill(T::ZERO);
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
                        panel[*count..].fill(T::ZERO);
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
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn forward<T: Real>(
    g: &Geometry,
    taps: &[Tap],
    weight: &Packed<T>,
    x: Seen<T>,
    rows: std::ops::Range<usize>,
    y: &SharedMut<T>,
    y_at: usize,
    finish: Option<&Shifts<T>>,
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
    for (group, first, columns, at, width) in &weight.panels {
        let first = group * (g.o / g.p.groups) + first;
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
            out_at: &out_at,
            out_first: first,
            columns: *columns,
            accumulate: false,
            finish: finish.map(|f| (f, first)),
        };
        // SAFETY: the caller's promise.
        unsafe { product.run(y) };
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
                out_at: &out_at,
                out_first: group * (g.c / g.p.groups) + first,
                columns: *columns,
                accumulate,
                finish: None,
            };
            // SAFETY: the caller's promise.
            unsafe { product.run(dx) };
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
        let out_at: Vec<usize> = a_at.iter().map(|o| o * row_len).collect();
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
                    out_at: &out_at,
                    out_first: n * inputs + first,
                    columns: count,
                    accumulate: true,
                    finish: None,
                };
                // SAFETY: `dw` is this task's own.
                unsafe { product.run(&shared) };
            }
        }
    }
}
