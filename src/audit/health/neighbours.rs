//! The nearest of many rows, by blocks of a matrix product: time grows with the square of the rows, memory does not.

use hydranet_kernels::matmul::{Matrix, matmul};
use rayon::prelude::*;

/// Rows compared at once, on each side.
const BLOCK: usize = 256;

/// A row that is near another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Its place.
    pub row: usize,
    /// The product with it: the cosine, of rows of length 1.
    pub cosine: f32,
}

/// For each of some rows, the `k` others with the greatest products among those that are `allowed` (asked with the row and the
/// other), greatest first, of equal ones the first.
///
/// # Shapes
/// `rows` `(n, width)`, row by row; a result for each of `of`.
pub fn nearest(
    rows: &[f32],
    width: usize,
    of: &[usize],
    k: usize,
    allowed: &(dyn Fn(usize, usize) -> bool + Sync),
) -> Vec<Vec<Neighbour>> {
    let n = rows.len() / width.max(1);
    let block = |of: &[usize]| -> Vec<Vec<Neighbour>> {
        let asked: Vec<f32> = of
            .iter()
            .flat_map(|i| &rows[i * width..(i + 1) * width])
            .copied()
            .collect();
        let mut best: Vec<Vec<Neighbour>> = vec![Vec::with_capacity(k + 1); of.len()];
        let mut products = vec![0.0; of.len() * BLOCK];
        for first in (0..n).step_by(BLOCK) {
            let count = BLOCK.min(n - first);
            let there = &rows[first * width..(first + count) * width];
            matmul(
                (of.len(), count, width),
                Matrix::rows(&asked, width),
                Matrix::transposed(there, width),
                &mut products,
                BLOCK,
                false,
            );
            for ((row, best), products) in of.iter().zip(&mut best).zip(products.chunks(BLOCK)) {
                for (i, cosine) in products[..count].iter().enumerate() {
                    let last = best.last().map_or(f32::NEG_INFINITY, |b| b.cosine);
                    let (other, full) = (first + i, best.len() == k);
                    if (full && *cosine <= last) || other == *row || !allowed(*row, other) {
                        continue;
                    }
                    let place = best.partition_point(|b| b.cosine >= *cosine);
                    best.insert(
                        place,
                        Neighbour {
                            row: other,
                            cosine: *cosine,
                        },
                    );
                    best.truncate(k);
                }
            }
        }
        best
    };
    match k {
        0 => vec![Vec::new(); of.len()],
        _ => of.par_chunks(BLOCK).flat_map_iter(block).collect(),
    }
}
