//! Convolutions whose weight is large beside their planes: tasks share the images of a slab and divide the channels.
//!
//! Tiles would each read the whole weight again, and each keep a gradient of it of their own. Here every task has its own columns
//! of the result: a panel of the weight is read by one task, and the weight's gradient is written where it belongs.

use super::finish::Shifts;
use super::input::Input;
use super::job::Job;
use super::plan::{Phase, Tap, input_window, joined, output_window, phases, taps};
use super::product::{Left, Packed, ROWS};
use super::window::Window;
use super::winograd;
use crate::buffer::Buffer;
use crate::geometry::Geometry;
use crate::micro::Span;
use crate::outer::Outer;
use crate::real::Real;
use crate::shared::SharedMut;
use rayon::prelude::*;
use std::ops::Range;

/// Values of a weight from which on it pays.
const WEIGHT: usize = 1 << 15;

/// Input values of a slab.
const SLAB: usize = 1 << 20;

/// Whether the method fits a convolution.
pub(super) fn fits(g: &Geometry) -> bool {
    g.p.groups == 1 && g.kh * g.kw * g.c * g.o >= WEIGHT && !winograd::fits(g)
}

/// A pointwise convolution's positions as images of one.
fn unfolded(g: &Geometry) -> Geometry {
    let mut g = *g;
    if g.is_pointwise() {
        (g.batch, g.h, g.w, g.oh, g.ow) = (g.batch * g.h * g.w, 1, 1, 1, 1);
    }
    g
}

/// The batch in ranges of images.
fn slabs(g: &Geometry, window: Window) -> impl Iterator<Item = Range<usize>> {
    let images = match SLAB / window.len(g.c).max(1) {
        few @ 0..ROWS => few.max(1),
        many => many / ROWS * ROWS,
    };
    let batch = g.batch;
    (0..batch)
        .step_by(images)
        .map(move |i| i..(i + images).min(batch))
}

/// The same window of several images, one after the other.
struct Windows<'a, T> {
    values: &'a [T],
    /// Where the first one begins, and the distance from one to the next.
    at: usize,
    len: usize,
}

/// Writes what is seen of a range of a map's values.
type Copy<'a, T> = dyn Fn(Range<usize>, &mut [T]) + Sync + 'a;

/// Reads windows where they lie, if nothing is to be done to them and they are whole planes; else copies them:
/// `copy(range of all values, out)`.
fn windows<'a, T: Real>(
    values: &'a Buffer<T>,
    (h, w, c): (usize, usize, usize),
    images: &Range<usize>,
    window: Window,
    copy: Option<&Copy<T>>,
    scratch: &'a mut Buffer<T>,
) -> Windows<'a, T> {
    let plane = h * w * c;
    if copy.is_none() && window.is_rows_of(h, w) && window.rows == h {
        return Windows {
            values: values.with_slack(),
            at: images.start * plane,
            len: plane,
        };
    }
    let len = window.len(c);
    scratch.reserve(images.len() * len);
    // A few thousand values at once, whatever the size of a window.
    let some = (16_384 / len.max(1)).max(1);
    scratch[..images.len() * len]
        .par_chunks_mut(some * len)
        .enumerate()
        .for_each(|(i, out)| {
            for (j, out) in out.chunks_exact_mut(len).enumerate() {
                let at = (images.start + i * some + j) * plane;
                window.fill((h, w, c), out, |range, out| {
                    let range = at + range.start..at + range.end;
                    match copy {
                        Some(copy) => copy(range, out),
                        None => out.copy_from_slice(&values[range]),
                    }
                });
            }
        });
    Windows {
        values: scratch.with_slack(),
        at: 0,
        len,
    }
}

/// Computes the output.
pub(super) fn forward<T: Real>(
    g: &Geometry,
    x: Input<T>,
    weight: &Packed<T>,
    y: &mut Buffer<T>,
    finish: Option<&Shifts<T>>,
) {
    let g = &unfolded(g);
    let window = input_window(g, &(0..g.oh));
    let (s, t) = g.p.stride;
    let taps = taps(g);
    let shared = SharedMut::new(y);
    let mut scratch = Buffer::new(0);
    let copy = |range: Range<usize>, out: &mut [T]| x.copy(range, out);
    let copy = x.transform.map(|_| &copy as &Copy<T>);
    for images in slabs(g, window) {
        let x = windows(
            x.values,
            (g.h, g.w, g.c),
            &images,
            window,
            copy,
            &mut scratch,
        );
        let positions = || {
            (0..images.len()).flat_map(|i| (0..g.oh * g.ow).map(move |p| (i, p / g.ow, p % g.ow)))
        };
        let a_at: Vec<usize> = positions()
            .map(|(i, r, q)| x.at + i * x.len + (r * s * window.cols + q * t) * g.c)
            .collect();
        let first = images.start * g.out_plane() * g.o;
        let out_at: Vec<usize> = (0..a_at.len()).map(|p| first + p * g.o).collect();
        let left = Left {
            values: x.values,
            at: &a_at,
            out_at: &out_at,
            accumulate: false,
            finish,
        };
        let blocks: Vec<usize> = taps.iter().map(|t| t.offset(window.cols, g.c)).collect();
        // SAFETY: nobody else writes the output.
        unsafe { weight.multiply(&left, g.c, &blocks, &shared) };
    }
}

/// Writes the input's gradient, and gives the weight's, as (O, kernel height, kernel width, C); each if it is wanted.
pub(super) fn backward<T: Real>(job: &Job<T>, w: &[T], dx: &mut Buffer<T>) -> Option<Buffer<T>> {
    let g = &unfolded(job.g);
    let phases = if job.want_input {
        phases(g)
    } else {
        Vec::new()
    };
    let packed: Vec<Packed<T>> = phases.iter().map(|p| Packed::backward(g, w, p)).collect();
    let seen = input_window(g, &(0..g.oh));
    let window = output_window(g, &phases, &(0..g.oh));
    let mut dw = job.want_weight.then(|| Buffer::new(w.len()));
    let (mut x_scratch, mut d_scratch) = (Buffer::new(0), Buffer::new(0));
    let read_x = |range: Range<usize>, out: &mut [T]| job.x.copy(range, out);
    let read_x = job.x.transform.map(|_| &read_x as &Copy<T>);
    let read_d = |range: Range<usize>, out: &mut [T]| job.copy_gradient(range, out);
    let read_d = job.epilogue.map(|_| &read_d as &Copy<T>);
    for images in slabs(g, seen) {
        let d = windows(
            job.dz,
            (g.oh, g.ow, g.o),
            &images,
            window,
            read_d,
            &mut d_scratch,
        );
        if let Some(dw) = &mut dw {
            let x = windows(
                job.x.values,
                (g.h, g.w, g.c),
                &images,
                seen,
                read_x,
                &mut x_scratch,
            );
            weight_gradient(g, (&x, seen), (&d, window), &images, dw);
        }
        for (phase, weight) in phases.iter().zip(&packed) {
            input_gradient(g, phase, weight, (&d, window), &images, job.accumulate, dx);
        }
    }
    dw
}

/// The share of a slab in the weight's gradient; that of the first is written, those of the others are added.
fn weight_gradient<T: Real>(
    g: &Geometry,
    (x, seen): (&Windows<T>, Window),
    (d, window): (&Windows<T>, Window),
    images: &Range<usize>,
    dw: &mut Buffer<T>,
) {
    let (s, t) = g.p.stride;
    let taps = taps(g);
    // Kernel elements side by side are columns side by side.
    let run = if g.p.dilation.1 == 1 { g.kw } else { 1 };
    let row_len = taps.len() * g.c;
    let spans: Vec<Span> = (0..images.len() * g.oh)
        .map(|i| {
            let (image, row) = (i / g.oh, i % g.oh);
            Span {
                a: d.at + image * d.len + window.place(row as isize, 0) * g.o,
                b: x.at + image * x.len + row * s * seen.cols * g.c,
            }
        })
        .collect();
    let (spans, depth) = joined(spans, g.ow, g.o, t * g.c);
    let outer = Outer {
        a: d.values,
        a_step: g.o,
        b: x.values,
        b_step: t * g.c,
        spans: &spans,
        depth,
    };
    let place = |n: usize| (taps[n].offset(seen.cols, g.c), n * g.c);
    let parts: Vec<_> = (0..taps.len()).step_by(run).map(place).collect();
    outer.sum((g.o, run * g.c), &parts, dw, row_len, images.start > 0);
}

/// The input's gradient of a slab at one phase.
fn input_gradient<T: Real>(
    g: &Geometry,
    phase: &Phase,
    weight: &Packed<T>,
    (d, window): (&Windows<T>, Window),
    images: &Range<usize>,
    accumulate: bool,
    dx: &mut Buffer<T>,
) {
    let (s, t) = g.p.stride;
    let positions = || {
        images.clone().flat_map(|i| {
            (0..phase.rows * phase.cols).map(move |p| (i, p / phase.cols, p % phase.cols))
        })
    };
    let out_at: Vec<usize> = positions()
        .map(|(i, r, q)| ((i * g.h + phase.row + s * r) * g.w + phase.col + t * q) * g.c)
        .collect();
    if phase.taps.is_empty() {
        if !accumulate {
            for at in out_at {
                dx[at..at + g.c].fill(T::ZERO);
            }
        }
        return;
    }
    let a_at: Vec<usize> = positions()
        .map(|(i, r, q)| d.at + (i - images.start) * d.len + (r * window.cols + q) * g.o)
        .collect();
    let left = Left {
        values: d.values,
        at: &a_at,
        out_at: &out_at,
        accumulate,
        finish: None,
    };
    let place = |tap: &Tap| window.place(tap.dy, tap.dx) * g.o;
    let blocks: Vec<usize> = phase.taps.iter().map(place).collect();
    // SAFETY: nobody else writes the gradient.
    unsafe { weight.multiply(&left, g.o, &blocks, &SharedMut::new(dx)) };
}
