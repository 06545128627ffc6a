//! Scaled dot-product attention (Vaswani et al. 2017), softmax(scale · Q·Kᵀ)·V.
//!
//! Scores are made a block of queries at a time and never leave the cache. Forward, a block of one head of one image is a
//! task; backward, which adds up over the blocks, a head is. Backward keeps two numbers a query (the greatest score and the
//! inverse of the sum) and makes the probabilities again, the very same ones, as in FlashAttention (Dao et al. 2022): with P
//! the probabilities and dP = dO·Vᵀ, dV = Pᵀ·dO, dS = P ∘ (dP − rows' Σ P∘dP), dQ = scale · dS·K, dK = scale · dSᵀ·Q. Heads
//! are read and written where they lie, by strides: nothing is transposed.

use crate::matmul::{Matrix, matmul, matmul_at};
use crate::real::Real;
use crate::rows::{max, sum, sum_two};
use crate::shared::SharedMut;
use crate::simd::kernel;
use rayon::prelude::*;

/// Values of one block of scores, so that it stays in the cache beside the keys.
const BLOCK: usize = 1 << 15;

/// Blocks of all heads that forward is cut into where there are few heads, and queries that a block keeps at least: with fewer, a
/// product packs the keys more often than it reads them.
const BLOCKS: usize = 16;
const QUERIES: usize = 48;

/// Sizes of the axes, none of them 0: queries, keys and values are (batch, tokens, 3, heads, dim), the result
/// (batch, tokens, heads, dim).
#[derive(Clone, Copy)]
pub struct Sizes {
    pub batch: usize,
    pub heads: usize,
    pub tokens: usize,
    pub dim: usize,
}

impl Sizes {
    /// Queries of all heads.
    fn queries(&self) -> usize {
        self.batch * self.heads * self.tokens
    }

    /// Queries of one block.
    fn block(&self) -> usize {
        (BLOCK / self.tokens).clamp(1, self.tokens)
    }

    /// Queries of one block of forward's, all of like size: a query's result does not depend on the others in its block.
    fn forward_block(&self) -> usize {
        let wished = BLOCKS.div_ceil(self.batch * self.heads);
        let blocks = wished.min(self.tokens.div_ceil(QUERIES));
        let blocks = blocks.max(self.tokens.div_ceil(self.block()));
        self.tokens.div_ceil(blocks)
    }

    /// 1 / √dim.
    fn scale<T: Real>(&self) -> T {
        T::from_f64(1.0 / (self.dim as f64).sqrt())
    }
}

/// Where heads lie in a buffer: the first value, and the distances between images, heads and tokens.
#[derive(Clone, Copy)]
struct Grid {
    start: usize,
    image: usize,
    head: usize,
    token: usize,
}

impl Grid {
    /// Part `part` of (batch, tokens, parts, heads, dim).
    fn new(s: Sizes, parts: usize, part: usize) -> Self {
        let width = s.heads * s.dim;
        Self {
            start: part * width,
            image: s.tokens * parts * width,
            head: s.dim,
            token: parts * width,
        }
    }

    /// The first value of a token of one head, heads being counted through all images.
    fn at(&self, s: Sizes, head: usize, token: usize) -> usize {
        self.start + head / s.heads * self.image + head % s.heads * self.head + token * self.token
    }
}

/// A tensor's values and where its heads lie.
#[derive(Clone, Copy)]
struct Source<'a, T>(&'a [T], Grid);

impl<'a, T: Real> Source<'a, T> {
    /// The rows of one head from `token` on.
    fn head(&self, s: Sizes, head: usize, token: usize) -> &'a [T] {
        &self.0[self.1.at(s, head, token)..]
    }

    fn rows(&self, s: Sizes, head: usize, token: usize) -> Matrix<'a, T> {
        Matrix::rows(self.head(s, head, token), self.1.token)
    }

    fn columns(&self, s: Sizes, head: usize, token: usize) -> Matrix<'a, T> {
        Matrix::transposed(self.head(s, head, token), self.1.token)
    }
}

/// A buffer to write heads to.
#[derive(Clone, Copy)]
struct Target<T>(SharedMut<T>, Grid);

impl<T: Real> Target<T> {
    /// The rows `token..token + count` of one head (+)= a·b.
    ///
    /// # Safety
    /// No other task may touch these rows of this head; they must have been written before if `accumulate`.
    #[allow(clippy::too_many_arguments)]
    unsafe fn product(
        &self,
        s: Sizes,
        head: usize,
        (token, count): (usize, usize),
        depth: usize,
        a: Matrix<T>,
        b: Matrix<T>,
        accumulate: bool,
    ) {
        let shape = (count, s.dim);
        // SAFETY: `matrix` has bounded the writes; the caller answers for the rest.
        unsafe {
            let out = self
                .0
                .matrix(self.1.at(s, head, token), shape, self.1.token);
            matmul_at((count, s.dim, depth), a, b, out, self.1.token, accumulate);
        }
    }
}

kernel! {
    /// Rows of `n` scores become probabilities; notes each row's greatest scaled score and the inverse of its sum.
    fn probabilities<T>(scores: &mut [T], n: usize, scale: T, notes: &mut [T]) {
        for (row, note) in scores.chunks_exact_mut(n).zip(notes.chunks_exact_mut(2)) {
            let greatest = max(row, |v| v * scale);
            for v in row.iter_mut() {
                *v = v.madd::<FMA>(scale, -greatest).exp::<FMA>();
            }
            let share = T::ONE / sum(row, |v| v);
            for v in row.iter_mut() {
                *v *= share;
            }
            note.copy_from_slice(&[greatest, share]);
        }
    }
}

kernel! {
    /// Rows of `n` scores become the probabilities that [`probabilities`] made of them, from its notes.
    fn probabilities_again<T>(scores: &mut [T], n: usize, scale: T, notes: &[T]) {
        for (row, note) in scores.chunks_exact_mut(n).zip(notes.chunks_exact(2)) {
            for v in row.iter_mut() {
                *v = v.madd::<FMA>(scale, -note[0]).exp::<FMA>() * note[1];
            }
        }
    }
}

kernel! {
    /// Rows of `n` gradients of probabilities `p` become those of the unscaled scores.
    fn score_gradients<T>(p: &[T], d: &mut [T], n: usize, scale: T) {
        for (p, d) in p.chunks_exact(n).zip(d.chunks_exact_mut(n)) {
            let total = sum_two(p, d, |p, d| p * d);
            for (d, p) in d.iter_mut().zip(p) {
                *d = *p * scale * (*d - total);
            }
        }
    }
}

/// Queries, keys and values.
fn parts<T>(s: Sizes, f: impl Fn(Grid) -> T) -> [T; 3] {
    [0, 1, 2].map(|part| f(Grid::new(s, 3, part)))
}

/// Writes the result; gives the notes, two numbers a query.
pub fn forward<T: Real>(s: Sizes, qkv: &[T], out: &mut [T]) -> Vec<T> {
    let [q, k, v] = parts(s, |grid| Source(qkv, grid));
    let out = Target(SharedMut::new(out), Grid::new(s, 1, 0));
    let scale = s.scale();
    let mut notes = vec![T::ZERO; 2 * s.queries()];
    let n = s.tokens;
    let block = s.forward_block();
    let heads = notes.chunks_mut(n * 2).enumerate();
    let blocks = heads.flat_map(|(head, notes)| {
        let blocks = notes.chunks_mut(block * 2).enumerate();
        blocks.map(move |(i, notes)| (head, i * block, notes))
    });
    blocks.collect::<Vec<_>>().into_par_iter().for_each_init(
        || vec![T::ZERO; block * n],
        |scores, (head, first, notes)| {
            let count = notes.len() / 2;
            let scores = &mut scores[..count * n];
            let (q, k) = (q.rows(s, head, first), k.columns(s, head, 0));
            matmul((count, n, s.dim), q, k, scores, n, false);
            probabilities(scores, n, scale, notes);
            let (p, v) = (Matrix::rows(scores, n), v.rows(s, head, 0));
            // SAFETY: each task has its own rows of the result.
            unsafe { out.product(s, head, (first, count), n, p, v, false) };
        },
    );
    notes
}

/// Writes the whole gradient of queries, keys and values, from that of the result and from the notes of [`forward`].
pub fn backward<T: Real>(s: Sizes, qkv: &[T], notes: &[T], d_out: &[T], d_qkv: &mut [T]) {
    let [q, k, v] = parts(s, |grid| Source(qkv, grid));
    let d_out = Source(d_out, Grid::new(s, 1, 0));
    let shared = SharedMut::new(d_qkv);
    let [dq, dk, dv] = parts(s, |grid| Target(shared, grid));
    let scale = s.scale();
    let n = s.tokens;
    let whole = (0, n);
    notes.par_chunks(n * 2).enumerate().for_each_init(
        || [(); 2].map(|()| vec![T::ZERO; s.block() * n]),
        |[p, d], (head, notes)| {
            for (block, notes) in notes.chunks(s.block() * 2).enumerate() {
                let (first, count) = (block * s.block(), notes.len() / 2);
                let (p, d) = (&mut p[..count * n], &mut d[..count * n]);
                let d_rows = d_out.rows(s, head, first);
                let q = q.rows(s, head, first);
                matmul((count, n, s.dim), q, k.columns(s, head, 0), p, n, false);
                probabilities_again(p, n, scale, notes);
                matmul(
                    (count, n, s.dim),
                    d_rows,
                    v.columns(s, head, 0),
                    d,
                    n,
                    false,
                );
                let later = block > 0;
                let p_t = Matrix::transposed(p, n);
                // SAFETY: each head's rows are written by its own task, and added to after its first block has written them.
                unsafe { dv.product(s, head, whole, count, p_t, d_rows, later) };
                score_gradients(p, d, n, scale);
                let (d_rows, d_t) = (Matrix::rows(d, n), Matrix::transposed(d, n));
                let k = k.rows(s, head, 0);
                // SAFETY: as above.
                unsafe {
                    dq.product(s, head, (first, count), n, d_rows, k, false);
                    dk.product(s, head, whole, count, d_t, q, later);
                }
            }
        },
    );
}
