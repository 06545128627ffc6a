//! Matrix products over offsets, and weights packed for them.

use super::finish::Shifts;
use super::plan::{Phase, joined};
use crate::activation::forward_columns;
use crate::buffer::Buffer;
use crate::geometry::Geometry;
use crate::matmul::pack;
use crate::micro::{Finish, Product, SLACK, Span, panels, product, vector};
use crate::real::Real;
use crate::shared::SharedMut;
use rayon::prelude::*;

/// A matrix product over offsets: out[out_at[i] + out_first + j] (+)= Σ a[a_at[i] + …] · b[b_at + … + j].
pub(crate) struct Rows<'a, T> {
    pub a: &'a [T],
    pub a_at: &'a [usize],
    pub a_step: usize,
    pub b: &'a [T],
    pub b_at: usize,
    pub b_step: usize,
    pub spans: &'a [Span],
    pub depth: usize,
    pub out_at: &'a [usize],
    pub out_first: usize,
    pub columns: usize,
    pub accumulate: bool,
    /// What is done to each column before it is written, and the first column's place in it.
    pub finish: Option<(&'a Shifts<T>, usize)>,
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
        for s in self.spans {
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
            spans: self.spans,
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

/// Rows of a result that a task computes at once; a whole number of every microkernel's blocks.
pub(crate) const ROWS: usize = 96;

/// Group, first column of all, columns, place in the data, width there.
pub(crate) type Panel = (usize, usize, usize, usize, usize);

/// A weight as panels of columns, row after row of the sum.
pub(crate) struct Packed<T: Real> {
    pub data: Buffer<T>,
    pub panels: Vec<Panel>,
}

/// What is multiplied by a weight: where its rows begin, and where the results' rows begin.
pub(crate) struct Left<'a, T> {
    pub values: &'a [T],
    pub at: &'a [usize],
    pub out_at: &'a [usize],
    pub accumulate: bool,
    /// What is done to the results before they are written.
    pub finish: Option<&'a Shifts<T>>,
}

impl<T: Real> Packed<T> {
    /// The columns of a panel of `left` times the weight, whose block n meets `depth` values from the n-th of `blocks` on in each
    /// row.
    ///
    /// # Safety
    /// No other task may touch the panel's columns of the rows `left.out_at` in `out`.
    pub(crate) unsafe fn times(
        &self,
        &(_, first, columns, at, width): &Panel,
        left: &Left<T>,
        depth: usize,
        blocks: impl Iterator<Item = usize>,
        out: &SharedMut<T>,
    ) {
        let blocks = blocks.enumerate();
        let spans = blocks.map(|(n, a)| Span {
            a,
            b: n * depth * width,
        });
        let (spans, depth) = joined(spans.collect(), depth, 1, width);
        let product = Rows {
            a: left.values,
            a_at: left.at,
            a_step: 1,
            b: &self.data,
            b_at: at,
            b_step: width,
            spans: &spans,
            depth,
            out_at: left.out_at,
            out_first: first,
            columns,
            accumulate: left.accumulate,
            finish: left.finish.map(|f| (f, first)),
        };
        // SAFETY: the caller's promise.
        unsafe {
            product.run(out);
            if let Some(curve) = left.finish.and_then(|f| f.curve) {
                forward_columns(curve, out, left.out_at, (first, columns));
            }
        }
    }

    /// Every panel [`times`](Self::times) `left`, in pieces for tasks: some rows, which then stay in the second-level cache,
    /// and a panel.
    ///
    /// # Safety
    /// No other task may touch the rows `left.out_at` in `out`.
    pub(crate) unsafe fn multiply(
        &self,
        left: &Left<T>,
        depth: usize,
        blocks: &[usize],
        out: &SharedMut<T>,
    ) {
        let (panels, pieces) = (self.panels.len(), left.at.len().div_ceil(ROWS));
        (0..panels * pieces).into_par_iter().for_each(|i| {
            let from = i / panels * ROWS;
            let rows = from..(from + ROWS).min(left.at.len());
            let left = Left {
                at: &left.at[rows.clone()],
                out_at: &left.out_at[rows],
                ..*left
            };
            // SAFETY: each task has its own rows and columns of the result.
            unsafe {
                self.times(
                    &self.panels[i % panels],
                    &left,
                    depth,
                    blocks.iter().copied(),
                    out,
                )
            };
        });
    }

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
                let width = count.next_multiple_of(vector::<T>());
                list.push((group, group * columns + first, count, len, width));
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
                    let from = start(*group, block) + (first - group * columns) * column_step;
                    panel.fill(T::ZERO);
                    pack(&w[from..], (row_step, column_step), *count, *width, panel);
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
