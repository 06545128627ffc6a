//! Attention within the windows of a map (Liu et al. 2021, "Swin Transformer").
//!
//! Nothing is rolled, padded or cut: a task copies the queries, keys and values of one head of one window, wherever they lie, and
//! writes the result back there. Backward keeps nothing and makes the probabilities again, the very same ones.

use crate::columns::add;
use crate::matmul::{Matrix, matmul};
use crate::real::Real;
use crate::rows::{max, sum, sum_two};
use crate::shared::SharedMut;
use crate::simd::kernel;
use crate::tasks::parts;
use crate::window_layout::WindowLayout;
use rayon::prelude::*;
use std::ops::Range;

/// Parts that the windows of all images are cut into, each with sums of its own. Never by the number of threads.
const PARTS: usize = 16;

kernel! {
    /// Rows of `n` products of queries and keys become probabilities.
    fn probabilities<T>(scores: &mut [T], bias: &[T], n: usize, scale: T) {
        for (row, bias) in scores.chunks_exact_mut(n).zip(bias.chunks_exact(n)) {
            for (v, b) in row.iter_mut().zip(bias) {
                *v = v.madd::<FMA>(scale, *b);
            }
            let greatest = max(row, |v| v);
            for v in row.iter_mut() {
                *v = (*v - greatest).exp::<FMA>();
            }
            let share = T::ONE / sum(row, |v| v);
            for v in row.iter_mut() {
                *v *= share;
            }
        }
    }
}

kernel! {
    /// Rows of `n` gradients of probabilities `p` become those of the products; those of the scores are added to `bias`.
    fn score_gradients<T>(p: &[T], d: &mut [T], bias: &mut [T], n: usize, scale: T) {
        let rows = p.chunks_exact(n).zip(d.chunks_exact_mut(n)).zip(bias.chunks_exact_mut(n));
        for ((p, d), bias) in rows {
            let total = sum_two(p, d, |p, d| p * d);
            for ((d, p), b) in d.iter_mut().zip(p).zip(bias) {
                let score = *p * (*d - total);
                *b += score;
                *d = score * scale;
            }
        }
    }
}

/// 1 / √dim.
fn scale<T: Real>(layout: &WindowLayout) -> T {
    T::from_f64(1.0 / (layout.dim as f64).sqrt())
}

/// One head of some windows.
struct Task {
    head: usize,
    windows: Range<usize>,
}

/// All heads of all windows, heads of the same windows one after another.
fn tasks(layout: &WindowLayout) -> Vec<Task> {
    let windows = parts(layout.batch * layout.windows(), PARTS);
    let of_part = |windows: Range<usize>| {
        (0..layout.heads).map(move |head| Task {
            head,
            windows: windows.clone(),
        })
    };
    windows.into_iter().flat_map(of_part).collect()
}

/// Memory of one task: what is copied of a window, and its scores.
struct Scratch<T> {
    qkv: [Vec<T>; 3],
    out: Vec<T>,
    scores: Vec<T>,
}

impl<T: Real> Scratch<T> {
    fn new(layout: &WindowLayout) -> Self {
        let tokens = || vec![T::ZERO; layout.tokens() * layout.dim];
        Self {
            qkv: [(); 3].map(|()| tokens()),
            out: tokens(),
            scores: vec![T::ZERO; layout.tokens() * layout.tokens()],
        }
    }

    /// Copies the queries, keys and values of one head of one window, and makes its probabilities.
    fn probabilities(
        &mut self,
        layout: &WindowLayout,
        (window, head): (usize, usize),
        (values, filling): (&[T], &[T]),
        bias: &[T],
        scale: T,
    ) {
        let (n, dim, width) = (layout.tokens(), layout.dim, layout.heads * layout.dim);
        for (part, out) in self.qkv.iter_mut().enumerate() {
            let first = part * width + head * dim;
            for (place, out) in layout.places(window).zip(out.chunks_exact_mut(dim)) {
                out.copy_from_slice(match place {
                    Some(place) => &values[place * 3 * width + first..][..dim],
                    None => &filling[first..][..dim],
                });
            }
        }
        let [q, k, _] = &self.qkv;
        let (q, k) = (Matrix::rows(q, dim), Matrix::transposed(k, dim));
        matmul((n, n, dim), q, k, &mut self.scores, n, false);
        probabilities(
            &mut self.scores,
            layout.bias_of(bias, window, head),
            n,
            scale,
        );
    }
}

/// `y`: the result at every position of the map, from its values and the filling, and from the table of biases by distance.
pub fn forward<T: Real>(layout: &WindowLayout, given: (&[T], &[T]), table: &[T], y: &mut [T]) {
    let (n, dim, width) = (layout.tokens(), layout.dim, layout.heads * layout.dim);
    let (bias, scale) = (&layout.expanded(table), scale(layout));
    let shared = SharedMut::new(y);
    tasks(layout).into_par_iter().for_each_init(
        || Scratch::new(layout),
        |scratch, Task { head, windows }| {
            for window in windows {
                scratch.probabilities(layout, (window, head), given, bias, scale);
                let Scratch {
                    qkv: [_, _, v],
                    out,
                    scores,
                } = scratch;
                let (p, v) = (Matrix::rows(scores, n), Matrix::rows(v, dim));
                matmul((n, dim, n), p, v, out, dim, false);
                for (place, out) in layout.places(window).zip(out.chunks_exact(dim)) {
                    if let Some(place) = place {
                        // SAFETY: each position of each head belongs to one task.
                        unsafe { shared.range(place * width + head * dim, dim) }
                            .copy_from_slice(out);
                    }
                }
            }
        },
    );
}

/// The gradient of one head's biases by query and key, and of its fillings, from some windows.
type Share<T> = (Vec<T>, Vec<T>);

/// `dx`: the gradient of queries, keys and values at every position of the map. Gives those of the table of biases and of the
/// filling.
pub fn backward<T: Real>(
    layout: &WindowLayout,
    given: (&[T], &[T]),
    table: &[T],
    d_out: &[T],
    dx: &mut [T],
) -> (Vec<T>, Vec<T>) {
    let (heads, n, dim) = (layout.heads, layout.tokens(), layout.dim);
    let width = heads * dim;
    let (bias, scale) = (&layout.expanded(table), scale(layout));
    let shared = SharedMut::new(dx);
    let run = |(scratch, d_scores): &mut (Scratch<T>, Vec<T>), Task { head, windows }: Task| {
        let (mut d_bias, mut d_filling) = (vec![T::ZERO; n * n], vec![T::ZERO; 3 * dim]);
        for window in windows {
            scratch.probabilities(layout, (window, head), given, bias, scale);
            let Scratch {
                qkv: [q, k, v],
                out: d,
                scores: p,
            } = scratch;
            for (place, d) in layout.places(window).zip(d.chunks_exact_mut(dim)) {
                match place {
                    Some(place) => d.copy_from_slice(&d_out[place * width + head * dim..][..dim]),
                    None => d.fill(T::ZERO),
                }
            }
            let d_rows = Matrix::rows(d, dim);
            matmul(
                (n, n, dim),
                d_rows,
                Matrix::transposed(v, dim),
                d_scores,
                n,
                false,
            );
            // From here on v, then k and q, hold their own gradients, each written when it is not read any more.
            matmul((n, dim, n), Matrix::transposed(p, n), d_rows, v, dim, false);
            score_gradients(p, d_scores, &mut d_bias, n, scale);
            let (d_rows, d_columns) = (Matrix::rows(d_scores, n), Matrix::transposed(d_scores, n));
            matmul((n, dim, n), d_columns, Matrix::rows(q, dim), d, dim, false);
            matmul((n, dim, n), d_rows, Matrix::rows(k, dim), q, dim, false);
            for (part, from) in [&*q, &*d, &*v].into_iter().enumerate() {
                for (place, from) in layout.places(window).zip(from.chunks_exact(dim)) {
                    match place {
                        Some(place) => {
                            let at = place * 3 * width + part * width + head * dim;
                            // SAFETY: each position of each head belongs to one task.
                            unsafe { shared.range(at, dim) }.copy_from_slice(from);
                        }
                        None => add(from, &mut d_filling[part * dim..][..dim]),
                    }
                }
            }
        }
        (d_bias, d_filling)
    };
    let shares: Vec<Share<T>> = tasks(layout)
        .into_par_iter()
        .map_init(|| (Scratch::new(layout), vec![T::ZERO; n * n]), run)
        .collect();
    let (mut d_bias, mut d_filling) = (vec![T::ZERO; heads * n * n], vec![T::ZERO; 3 * width]);
    // Parts in order, whatever thread found which.
    for shares in shares.chunks(heads) {
        for (head, (bias, filling)) in shares.iter().enumerate() {
            add(bias, &mut d_bias[head * n * n..][..n * n]);
            for (part, filling) in filling.chunks_exact(dim).enumerate() {
                let at = (part * heads + head) * dim;
                add(filling, &mut d_filling[at..][..dim]);
            }
        }
    }
    (layout.gathered(&d_bias), d_filling)
}
