//! Sums of outer products: the product of a transposed matrix and one whose rows lie as the sum runs, as gradients of weights
//! are.
//!
//! A sum over positions reads a few values of each of many far rows, which neither the caches' lines nor their prefetching suit.
//! So both operands are packed, some positions at a time: one in blocks of as many rows of the result as the microkernel has, the
//! other in panels of its columns.

use crate::buffer::Buffer;
use crate::columns::add;
use crate::matmul::pack;
use crate::micro::{Product, Span, panel, panels, product, tile_rows, vector};
use crate::real::Real;
use crate::shared::SharedMut;
use crate::simd::kernel;
use crate::tasks;
use rayon::prelude::*;
use std::ops::Range;

/// Positions packed at once: a panel of them stays in the first-level cache, all blocks in the second-level one.
const DEPTH: usize = 256;

/// Up to so many panels of columns, or blocks of rows, packing costs more than it saves over a few positions.
const FEW: usize = 3;

/// Positions of a share of the sum, at least, and shares at most: by these alone, so that results do not depend on the number of
/// threads.
const SHARE: (usize, usize) = (1024, 4);

/// Two operands whose rows lie a step apart within spans, each `depth` rows long.
#[derive(Clone, Copy)]
pub(crate) struct Outer<'a, T> {
    pub a: &'a [T],
    pub a_step: usize,
    pub b: &'a [T],
    pub b_step: usize,
    pub spans: &'a [Span],
    pub depth: usize,
}

/// Columns of the second operand and of the result: where both begin.
pub(crate) type Part = (usize, usize);

impl<T: Real> Outer<'_, T> {
    /// Positions of the sum.
    fn positions(&self) -> usize {
        self.spans.len() * self.depth
    }

    /// `out[to + i * ld + j] (+)= Σ a[s.a + k * a_step + i] · b[from + s.b + k * b_step + j]` over all spans s and k < depth, for
    /// i < m, j < n and each (from, to) of `parts`, on all threads; `out` is m rows.
    pub(crate) fn sum(
        &self,
        (m, n): (usize, usize),
        parts: &[Part],
        out: &mut [T],
        ld: usize,
        accumulate: bool,
    ) {
        if self.positions() == 0 {
            // Sums of nothing.
            for row in out.chunks_mut(ld).take(m).filter(|_| !accumulate) {
                parts
                    .iter()
                    .for_each(|(_, to)| row[*to..to + n].fill(T::ZERO));
            }
            return;
        }
        // Large enough for what is packed to serve often.
        let side = if m * n * parts.len() < 1 << 16 {
            96
        } else {
            192
        };
        let shares = tasks::parts(self.positions(), (self.positions() / SHARE.0).min(SHARE.1));
        let mut later: Vec<_> = shares[1..].iter().map(|_| Buffer::new(out.len())).collect();
        let mut targets = vec![SharedMut::new(out)];
        targets.extend(later.iter_mut().map(|b| SharedMut::new(b)));
        let places = |part: &Part| {
            let part = *part;
            (0..m)
                .step_by(side)
                .flat_map(move |i| (0..n).step_by(side).map(move |j| (part, i, j)))
        };
        let tasks: Vec<_> = (0..shares.len())
            .flat_map(|s| parts.iter().flat_map(places).map(move |place| (s, place)))
            .collect();
        tasks.into_par_iter().for_each(|(s, ((from, to), i, j))| {
            let part = Outer {
                a: &self.a[i..],
                b: &self.b[from + j..],
                ..*self
            };
            let shape = (side.min(m - i), side.min(n - j));
            // SAFETY: each task has its own rows and columns of a share, in bounds as `matrix` has seen.
            unsafe {
                let out = targets[s].matrix(to + i * ld + j, shape, ld);
                part.tile(
                    shape,
                    &[(0, 0)],
                    shares[s].clone(),
                    out,
                    ld,
                    accumulate && s == 0,
                );
            }
        });
        // Between the parts the shares hold nothing.
        let rows = out.par_chunks_mut(ld).take(m).enumerate();
        rows.filter(|_| !later.is_empty()).for_each(|(i, row)| {
            for share in &later {
                for (_, to) in parts {
                    add(&share[i * ld + to..][..n], &mut row[*to..to + n]);
                }
            }
        });
    }

    /// The same over some positions, of which there is at least one, on one thread.
    ///
    /// # Safety
    /// `out[to + i * ld + j]` must be valid and untouched by others for every i < m, j < n and part.
    pub(crate) unsafe fn tile(
        &self,
        (m, n): (usize, usize),
        parts: &[Part],
        positions: Range<usize>,
        out: *mut T,
        ld: usize,
        accumulate: bool,
    ) {
        let rows = tile_rows::<T>();
        let of_part = |part: &Part| {
            let (from, to) = *part;
            panels::<T>(n).map(move |(first, width)| (from + first, to + first, width))
        };
        let list: Vec<_> = parts.iter().flat_map(of_part).collect();
        let out_at: Vec<usize> = (0..m).map(|i| i * ld).collect();
        let few = list.len() <= FEW || m <= FEW * rows;
        if few
            && positions.len() <= 2 * DEPTH
            && positions.len() == self.positions()
            && self.has_slack(&list, m)
        {
            let a_at: Vec<usize> = (0..m).collect();
            for (from, to, width) in list {
                let p = Product {
                    a: self.a.as_ptr(),
                    a_at: &a_at,
                    a_step: self.a_step,
                    b: self.b[from..].as_ptr(),
                    b_step: self.b_step,
                    spans: self.spans,
                    depth: self.depth,
                    // SAFETY: in bounds by the caller's promise.
                    out: unsafe { out.add(to) },
                    out_at: &out_at,
                    columns: width,
                    accumulate,
                    finish: None,
                };
                // SAFETY: `has_slack` has bounded the reads; the caller answers for the writes.
                unsafe { product(&p) };
            }
            return;
        }
        let deep = DEPTH.min(positions.len());
        let mut blocks = Buffer::new(m.next_multiple_of(rows) * deep);
        let mut columns = Buffer::new(deep * panel::<T>());
        for at in positions.clone().step_by(DEPTH) {
            let range = at..(at + DEPTH).min(positions.end);
            let deep = range.len();
            let mut done = 0;
            for (span, first, count) in self.runs(range.clone()) {
                let a = &self.a[span.a + first * self.a_step..];
                pack_blocks(a, self.a_step, m, rows, (done, count, deep), &mut blocks);
                done += count;
            }
            let a_at: Vec<usize> = (0..m).map(|i| i / rows * rows * deep + i % rows).collect();
            for &(from, to, width) in &list {
                let step = width.next_multiple_of(vector::<T>());
                let mut done = 0;
                for (span, first, count) in self.runs(range.clone()) {
                    let b = &self.b[from + span.b + first * self.b_step..];
                    let packed = &mut columns[done * step..(done + count) * step];
                    pack(b, (self.b_step, 1), width, step, packed);
                    done += count;
                }
                let p = Product {
                    a: blocks.as_ptr(),
                    a_at: &a_at,
                    a_step: rows,
                    b: columns.as_ptr(),
                    b_step: step,
                    spans: &[Span { a: 0, b: 0 }],
                    depth: deep,
                    // SAFETY: in bounds by the caller's promise.
                    out: unsafe { out.add(to) },
                    out_at: &out_at,
                    columns: width,
                    accumulate: accumulate || at > positions.start,
                    finish: None,
                };
                // SAFETY: both operands were packed just now, as deep as is said; the caller answers for the writes.
                unsafe { product(&p) };
            }
        }
    }

    /// Whether the operands may be read as they lie: whole vectors of every panel, whose columns begin at `list`.
    fn has_slack(&self, list: &[(usize, usize, usize)], m: usize) -> bool {
        let last = self.depth.saturating_sub(1);
        let fits = |first: usize, step: usize, width: usize, len: usize| {
            let end = last.checked_mul(step).and_then(|l| l.checked_add(first));
            end.and_then(|end| end.checked_add(width))
                .is_some_and(|end| end <= len)
        };
        self.spans.iter().all(|s| {
            fits(s.a, self.a_step, m, self.a.len())
                && list.iter().all(|(from, _, width)| {
                    let width = width.next_multiple_of(vector::<T>());
                    fits(s.b, self.b_step, from + width, self.b.len())
                })
        })
    }

    /// The parts of a range of positions that lie in one span each: the span, and which of its rows.
    fn runs(&self, range: Range<usize>) -> impl Iterator<Item = (Span, usize, usize)> {
        let mut at = range.start;
        std::iter::from_fn(move || {
            if at == range.end {
                return None;
            }
            let first = at % self.depth;
            let count = (self.depth - first).min(range.end - at);
            let span = self.spans[at / self.depth];
            at += count;
            Some((span, first, count))
        })
    }
}

kernel! {
    /// Writes `m` values of each of some rows `step` apart into blocks of `rows` of them, each `deep` rows long: `range` says
    /// from which of these on, how many, and how long a block is.
    fn pack_blocks<T>(a: &[T], step: usize, m: usize, rows: usize, range: (usize, usize, usize), out: &mut [T]) {
        match rows {
            4 => to_blocks::<T, 4>(a, step, m, range, out),
            6 => to_blocks::<T, 6>(a, step, m, range, out),
            _ => to_blocks::<T, 8>(a, step, m, range, out),
        }
    }
}

#[inline(always)]
fn to_blocks<T: Real, const R: usize>(
    a: &[T],
    step: usize,
    m: usize,
    (first, count, deep): (usize, usize, usize),
    out: &mut [T],
) {
    let whole = m / R * R;
    for k in 0..count {
        let a = &a[k * step..][..m];
        let at = |i: usize| i * deep + (first + k) * R;
        for (i, a) in a.chunks_exact(R).enumerate() {
            out[at(i * R)..][..R].copy_from_slice(a);
        }
        if whole < m {
            out[at(whole)..][..m - whole].copy_from_slice(&a[whole..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_plain_loops_for_every_shape_span_and_part() {
        // Whole numbers: every order of the sum gives the same.
        let values = |len: usize, k: usize| -> Vec<f32> {
            (0..len).map(|i| (i * k % 13) as f32 - 6.0).collect()
        };
        for (m, n, spans, depth) in [
            (1, 1, 1, 1),
            (5, 40, 3, 7),
            (100, 17, 2, 300),
            (13, 70, 1, 2 * DEPTH + 5),
            (97, 200, 5, 450),
            (200, 3, 40, 16),
        ] {
            let (a_step, b_step) = (m + 3, 2 * n + 1);
            let (a, b) = (
                values(spans * (depth * a_step + 5), 7),
                values(spans * (depth * b_step + 9) + n, 5),
            );
            let spans: Vec<Span> = (0..spans)
                .map(|s| Span {
                    a: s * (depth * a_step + 5),
                    b: s * (depth * b_step + 9),
                })
                .collect();
            let parts = [(0, 0), (n, n + 2)];
            let ld = 2 * n + 4;
            for accumulate in [false, true] {
                let mut out = values(m * ld, 3);
                let mut expected = out.clone();
                for (from, to) in parts {
                    for i in 0..m {
                        for j in 0..n {
                            let term = |s: &Span, k: usize| {
                                a[s.a + k * a_step + i] * b[from + s.b + k * b_step + j]
                            };
                            let sum: f32 = spans
                                .iter()
                                .flat_map(|s| (0..depth).map(move |k| term(s, k)))
                                .sum();
                            let v = &mut expected[to + i * ld + j];
                            *v = if accumulate { *v + sum } else { sum };
                        }
                    }
                }
                let outer = Outer {
                    a: &a,
                    a_step,
                    b: &b,
                    b_step,
                    spans: &spans,
                    depth,
                };
                let mut on_one = out.clone();
                outer.sum((m, n), &parts, &mut out, ld, accumulate);
                assert!(out == expected, "{m} {n} {depth} {accumulate}");
                // SAFETY: `on_one` is m rows of `ld`, of this thread alone.
                unsafe {
                    let all = 0..spans.len() * depth;
                    outer.tile((m, n), &parts, all, on_one.as_mut_ptr(), ld, accumulate);
                }
                assert!(
                    on_one == expected,
                    "{m} {n} {depth} {accumulate} on one thread"
                );
            }
        }
    }
}
