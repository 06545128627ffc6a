//! The products of a convolution's tiles: forward, the input's gradient, the weight's gradient.

use super::finish::Shifts;
use super::plan::{Phase, Tap, joined};
use super::product::{Left, Packed};
use super::seen::Seen;
use crate::geometry::Geometry;
use crate::micro::Span;
use crate::outer::Outer;
use crate::real::Real;
use crate::shared::SharedMut;

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
    let left = Left {
        values: x.values,
        at: &a_at,
        out_at: &out_at,
        accumulate: false,
        finish,
    };
    for panel in &weight.panels {
        let offset = |tap: &Tap| tap.offset(x.window.cols, g.c) + panel.0 * inputs;
        // SAFETY: the caller's promise.
        unsafe { weight.times(panel, &left, inputs, taps.iter().map(offset), y) };
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
        // From the window's start, so that every span's offset is positive.
        let a_at: Vec<usize> = positions()
            .map(|(i, j)| ((i - inputs.start) * dy.window.cols + j) * g.o)
            .collect();
        let left = Left {
            values: dy.values,
            at: &a_at,
            out_at: &out_at,
            accumulate,
            finish: None,
        };
        for panel in &weight.panels {
            let offset =
                |tap: &Tap| dy.at(inputs.start as isize + tap.dy, tap.dx) + panel.0 * outputs;
            let offsets = phase.taps.iter().map(offset);
            // SAFETY: the caller's promise.
            unsafe { weight.times(panel, &left, outputs, offsets, dx) };
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
    let spans: Vec<Span> = rows
        .clone()
        .map(|r| Span {
            a: dy.at(r as isize, 0),
            b: (r - rows.start) * s * x.window.cols * g.c,
        })
        .collect();
    let (spans, depth) = joined(spans, g.ow, g.o, t * g.c);
    let shared = SharedMut::new(dw);
    for group in 0..g.p.groups {
        let outer = Outer {
            a: &dy.values[group * outputs..],
            a_step: g.o,
            b: &x.values[group * inputs..],
            b_step: t * g.c,
            spans: &spans,
            depth,
        };
        let place = |n: usize| (taps[n].offset(x.window.cols, g.c), n * inputs);
        let parts: Vec<_> = (0..taps.len()).step_by(run).map(place).collect();
        let (at, whole) = (group * outputs * row_len, (outputs, row_len));
        // SAFETY: `matrix` has bounded the writes; `dw` is this task's own.
        unsafe {
            let out = shared.matrix(at, whole, row_len);
            let all = 0..spans.len() * depth;
            outer.tile((outputs, columns), &parts, all, out, row_len, true);
        }
    }
}
