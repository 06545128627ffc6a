//! The kernels of attention. A task is one head of one image; heads are read and written where they lie, by strides.

use super::matmul::{Matrix, matmul, matmul_at};
use super::rows::{max, sum, sum_two};
use super::shared::{SharedMut, fill};
use super::simd::{Real, kernel};
use rayon::prelude::*;

/// Values of one block of scores, so that it stays in the cache beside the keys.
const BLOCK: usize = 1 << 15;

/// Sizes of the axes, none of them 0.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub batch: usize,
    pub heads: usize,
    pub tokens: usize,
    pub dim: usize,
}

impl Sizes {
    pub(crate) fn elements(&self) -> usize {
        self.batch * self.heads * self.tokens * self.dim
    }

    /// Queries of one block.
    fn block(&self) -> usize {
        (BLOCK / self.tokens).clamp(1, self.tokens)
    }
}

/// Where heads lie in a buffer: the first value, and the distances between images, heads and tokens.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    start: usize,
    image: usize,
    head: usize,
    token: usize,
}

impl Grid {
    /// `(batch, heads, tokens, dim)`.
    pub(crate) fn apart(s: Sizes) -> Self {
        Self {
            start: 0,
            image: s.heads * s.tokens * s.dim,
            head: s.tokens * s.dim,
            token: s.dim,
        }
    }

    /// Part `part` of `(batch, tokens, parts, heads, dim)`.
    pub(crate) fn packed(s: Sizes, parts: usize, part: usize) -> Self {
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
pub(crate) struct Source<'a, T>(pub &'a [T], pub Grid);

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
pub(crate) struct Target<T>(pub SharedMut<T>, pub Grid);

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

/// The result, heads lying as `grid` says, and the notes: two numbers a query.
pub(crate) fn forward<T: Real>(
    s: Sizes,
    scale: T,
    [q, k, v]: [Source<T>; 3],
    grid: Grid,
) -> (Vec<T>, Vec<T>) {
    let mut notes = vec![T::ZERO; s.batch * s.heads * s.tokens * 2];
    // SAFETY: `forward_into` writes all heads, which are all values.
    let [out] = unsafe {
        fill([s.elements()], |[out]| {
            forward_into(s, scale, [q, k, v], Target(out, grid), &mut notes);
        })
    };
    (out, notes)
}

/// [`forward`] into a buffer that is there.
///
/// # Safety
/// No other task may touch the target's heads.
pub(crate) unsafe fn forward_into<T: Real>(
    s: Sizes,
    scale: T,
    [q, k, v]: [Source<T>; 3],
    out: Target<T>,
    notes: &mut [T],
) {
    let n = s.tokens;
    notes.par_chunks_mut(n * 2).enumerate().for_each_init(
        || vec![T::ZERO; s.block() * n],
        |scores, (head, notes)| {
            for (block, notes) in notes.chunks_mut(s.block() * 2).enumerate() {
                let (first, count) = (block * s.block(), notes.len() / 2);
                let scores = &mut scores[..count * n];
                let (q, k) = (q.rows(s, head, first), k.columns(s, head, 0));
                matmul((count, n, s.dim), q, k, scores, n, false);
                probabilities(scores, n, scale, notes);
                let (p, v) = (Matrix::rows(scores, n), v.rows(s, head, 0));
                // SAFETY: each head's rows are written whole by its own task.
                unsafe { out.product(s, head, (first, count), n, p, v, false) };
            }
        },
    );
}

/// Writes the whole gradients of queries, keys and values, from that of the result and from the notes of [`forward`].
///
/// # Safety
/// The targets' heads must lie apart, and no other task may touch them.
pub(crate) unsafe fn backward<T: Real>(
    s: Sizes,
    scale: T,
    [q, k, v]: [Source<T>; 3],
    notes: &[T],
    d_out: Source<T>,
    [dq, dk, dv]: [Target<T>; 3],
) {
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
