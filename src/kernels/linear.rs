//! y = x·Wᵀ + b over rows, and its gradients.

use crate::conv::product::{Left, Packed};
use crate::micro::Span;
use crate::outer::Outer;
use crate::real::Real;
use crate::rows::add_in_order;
use crate::shared::SharedMut;
use rayon::prelude::*;

/// Rows whose sums a task makes. Fixed, so that results do not depend on the number of threads.
const ROWS: usize = 128;

/// The result: rows `x` of `inputs` values times the weight `w` (outputs × inputs), and the bias `b`.
pub fn forward<T: Real>(inputs: usize, x: &[T], w: &[T], b: &[T]) -> Vec<T> {
    let outputs = b.len();
    let mut y = b.repeat(x.len() / inputs);
    let weight = Packed::new(1, [1, inputs, outputs], w, |_, _| 0, (1, inputs));
    add_product(&weight, (inputs, outputs), x, &mut y);
    y
}

/// The gradient of the rows, from that of the result.
pub fn input_gradient<T: Real>((outputs, inputs): (usize, usize), w: &[T], dy: &[T]) -> Vec<T> {
    let mut dx = vec![T::ZERO; dy.len() / outputs * inputs];
    let weight = Packed::new(1, [1, outputs, inputs], w, |_, _| 0, (inputs, 1));
    add_product(&weight, (outputs, inputs), dy, &mut dx);
    dx
}

/// Adds the products of rows of `depth` values and a packed weight to rows of `columns` values.
fn add_product<T: Real>(
    weight: &Packed<T>,
    (depth, columns): (usize, usize),
    rows: &[T],
    out: &mut [T],
) {
    let at = |step: usize| (0..rows.len() / depth).map(move |i| i * step).collect();
    let (at, out_at): (Vec<_>, Vec<_>) = (at(depth), at(columns));
    let left = Left {
        values: rows,
        at: &at,
        out_at: &out_at,
        accumulate: true,
        finish: None,
    };
    // SAFETY: nobody else writes the result.
    unsafe { weight.multiply(&left, depth, &[0], &SharedMut::new(out)) };
}

/// The gradient of the weight, from that of the result.
pub fn weight_gradient<T: Real>((outputs, inputs): (usize, usize), x: &[T], dy: &[T]) -> Vec<T> {
    let mut dw = vec![T::ZERO; outputs * inputs];
    let outer = Outer {
        a: dy,
        a_step: outputs,
        b: x,
        b_step: inputs,
        spans: &[Span { a: 0, b: 0 }],
        depth: dy.len() / outputs,
    };
    outer.sum((outputs, inputs), &[(0, 0)], &mut dw, inputs, false);
    dw
}

/// The gradient of the bias: Σ of the result's rows, first of each task's, then of the tasks'.
pub fn bias_gradient<T: Real>(dy: &[T], outputs: usize) -> Vec<T> {
    let parts: Vec<T> = dy
        .par_chunks(ROWS * outputs)
        .flat_map_iter(|rows| add_in_order(rows, outputs))
        .collect();
    add_in_order(&parts, outputs)
}
