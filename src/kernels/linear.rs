//! y = x·Wᵀ + b over rows, and its gradients.

use crate::matmul::{Matrix, matmul, matmul_at};
use crate::real::Real;
use crate::rows::add_in_order;
use crate::shared::SharedMut;
use rayon::prelude::*;

/// Rows a task computes: enough that the weight, packed anew by each task, costs little. Fixed, so that results do not depend on
/// the number of threads.
const ROWS: usize = 128;

/// Outputs and inputs of the tile of the weight's gradient that a task computes.
const TILE: (usize, usize) = (96, 192);

/// The result: rows `x` of `inputs` values times the weight `w` (outputs × inputs), and the bias `b`.
pub fn forward<T: Real>(inputs: usize, x: &[T], w: &[T], b: &[T]) -> Vec<T> {
    let outputs = b.len();
    let mut y = vec![T::ZERO; x.len() / inputs * outputs];
    y.par_chunks_mut(ROWS * outputs)
        .enumerate()
        .for_each(|(i, y)| {
            y.chunks_exact_mut(outputs)
                .for_each(|row| row.copy_from_slice(b));
            matmul(
                (y.len() / outputs, outputs, inputs),
                Matrix::rows(&x[i * ROWS * inputs..], inputs),
                Matrix::transposed(w, inputs),
                y,
                outputs,
                true,
            );
        });
    y
}

/// The gradient of the rows, from that of the result.
pub fn input_gradient<T: Real>((outputs, inputs): (usize, usize), w: &[T], dy: &[T]) -> Vec<T> {
    let mut dx = vec![T::ZERO; dy.len() / outputs * inputs];
    dx.par_chunks_mut(ROWS * inputs)
        .enumerate()
        .for_each(|(i, dx)| {
            matmul(
                (dx.len() / inputs, inputs, outputs),
                Matrix::rows(&dy[i * ROWS * outputs..], outputs),
                Matrix::rows(w, inputs),
                dx,
                inputs,
                false,
            );
        });
    dx
}

/// The gradient of the weight, from that of the result.
pub fn weight_gradient<T: Real>((outputs, inputs): (usize, usize), x: &[T], dy: &[T]) -> Vec<T> {
    let rows = dy.len() / outputs;
    let mut dw = vec![T::ZERO; outputs * inputs];
    let shared = SharedMut::new(&mut dw);
    let (down, across) = (outputs.div_ceil(TILE.0), inputs.div_ceil(TILE.1));
    (0..down * across).into_par_iter().for_each(|i| {
        let (row, col) = (i / across * TILE.0, i % across * TILE.1);
        let tile = (TILE.0.min(outputs - row), TILE.1.min(inputs - col));
        // SAFETY: each tile belongs to one task.
        unsafe {
            matmul_at(
                (tile.0, tile.1, rows),
                Matrix::transposed(dy.get(row..).unwrap_or_default(), outputs),
                Matrix::rows(x.get(col..).unwrap_or_default(), inputs),
                shared.matrix(row * inputs + col, tile, inputs),
                inputs,
                false,
            );
        }
    });
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
