//! Depthwise convolution, channels last: every loop runs over the channels of one position.
//!
//! A few neighbouring positions are summed at once, a vector of channels of each, so that a weight that was read serves all of
//! them, and the sums hide each other's latency. Rows are the inner loop: what a row reads of some channels is still in the
//! first-level cache for the next.

use super::plan::{Phase, Tap};
use super::seen::Seen;
use crate::geometry::Geometry;
use crate::real::Real;
use crate::shared::SharedMut;
use crate::simd::kernel;
use crate::transpose::transpose;

/// Channels whose rows are gone through before those of the next: two lines of the cache.
const LINE: usize = 32;

/// A kernel (C, 1, kh, kw) as (kernel element, C).
pub(crate) fn by_element<T: Real>(g: &Geometry, w: &[T]) -> Vec<T> {
    let mut out = vec![T::ZERO; w.len()];
    transpose(w, g.c, g.kh * g.kw, &mut out);
    out
}

/// Rows of positions of `c` channels, and the distances from one row, and one position, to the next: of what is read, and of what
/// is written, or of a gradient that is read beside it.
#[derive(Clone, Copy)]
pub(super) struct Sweep {
    pub rows: usize,
    pub cols: usize,
    pub c: usize,
    pub source: (usize, usize),
    pub out: (usize, usize),
}

impl Sweep {
    /// Values from the first to the last, by such distances.
    fn reach(&self, (row, col): (usize, usize)) -> usize {
        let down = (self.rows.max(1) - 1).saturating_mul(row);
        let right = (self.cols.max(1) - 1).saturating_mul(col);
        down.saturating_add(right).saturating_add(self.c)
    }

    /// Whether all is there that is read of `source`, from each of `offsets` on, and of one of `out`'s and one of `weight`'s
    /// length.
    fn fits(&self, source: usize, offsets: &[usize], weight: usize, out: usize) -> bool {
        let last = self.reach(self.source);
        offsets.iter().all(|o| o.saturating_add(last) <= source)
            && offsets.len().saturating_mul(self.c) <= weight
            && self.reach(self.out) <= out
    }
}

/// The way over so many rows of the output, `cols` positions apart, and where each kernel element reads in the window.
fn over_window<T>(
    g: &Geometry,
    taps: &[Tap],
    x: &Seen<T>,
    rows: usize,
    cols: usize,
) -> (Sweep, Vec<usize>) {
    let sweep = Sweep {
        rows,
        cols: g.ow,
        c: g.c,
        source: (g.p.stride.0 * x.window.cols * g.c, g.p.stride.1 * g.c),
        out: (cols * g.c, g.c),
    };
    let offsets = taps.iter().map(|t| t.offset(x.window.cols, g.c));
    (sweep, offsets.collect())
}

/// Output rows of one image.
///
/// # Safety
/// These rows of `y` belong to this task alone.
pub(crate) unsafe fn forward<T: Real>(
    g: &Geometry,
    taps: &[Tap],
    weight: &[T],
    x: Seen<T>,
    rows: std::ops::Range<usize>,
    y: &SharedMut<T>,
    y_at: usize,
) {
    let (sweep, offsets) = over_window(g, taps, &x, rows.len(), g.ow);
    // SAFETY: rows of this task.
    let out = unsafe { y.range(y_at + rows.start * g.ow * g.c, rows.len() * g.ow * g.c) };
    correlate(sweep, x.values, &offsets, weight, false, out);
}

/// The input's gradient at rows `inputs` of every phase of one image.
///
/// # Safety
/// Rows `stride · inputs` of `dx` belong to this task alone.
#[allow(clippy::too_many_arguments)]
pub(crate) unsafe fn backward_input<T: Real>(
    g: &Geometry,
    phases: &[Phase],
    weight: &[T],
    dy: Seen<T>,
    inputs: std::ops::Range<usize>,
    dx: &SharedMut<T>,
    dx_at: usize,
    accumulate: bool,
) {
    let (s, t) = g.p.stride;
    for phase in phases {
        let w: Vec<T> = phase
            .taps
            .iter()
            .flat_map(|tap| &weight[tap.element * g.c..][..g.c])
            .copied()
            .collect();
        let start = inputs.start;
        let sweep = Sweep {
            rows: inputs.end.min(phase.rows).saturating_sub(start),
            cols: phase.cols,
            c: g.c,
            source: (dy.window.cols * g.c, g.c),
            out: (s * g.w * g.c, t * g.c),
        };
        if sweep.rows == 0 || sweep.cols == 0 {
            continue;
        }
        let place = |tap: &Tap| dy.at(start as isize + tap.dy, tap.dx);
        let offsets: Vec<usize> = phase.taps.iter().map(place).collect();
        let at = dx_at + ((phase.row + s * start) * g.w + phase.col) * g.c;
        // SAFETY: rows of this task.
        let out = unsafe { dx.range(at, sweep.reach(sweep.out)) };
        correlate(sweep, dy.values, &offsets, &w, accumulate, out);
    }
}

/// Adds a tile's share to the weight's gradient, kept as (kernel element, C).
pub(crate) fn backward_weight<T: Real>(
    g: &Geometry,
    taps: &[Tap],
    x: Seen<T>,
    dy: Seen<T>,
    rows: std::ops::Range<usize>,
    dw: &mut [T],
) {
    let (sweep, offsets) = over_window(g, taps, &x, rows.len(), dy.window.cols);
    let d = &dy.values[dy.at(rows.start as isize, 0)..];
    products(sweep, x.values, &offsets, d, dw);
}

/// A vector of values from `at` on.
///
/// # Safety
/// They must be in the slice.
#[inline(always)]
unsafe fn vector<T: Real, const L: usize>(values: &[T], at: usize) -> [T; L] {
    debug_assert!(at + L <= values.len());
    // SAFETY: in bounds by the caller's promise; an array has the alignment of its values.
    unsafe { *values.as_ptr().add(at).cast::<[T; L]>() }
}

/// Positions that are summed at once, of so many that are left.
fn block(left: usize) -> usize {
    match left {
        0..7 => 1 << left.ilog2(),
        _ if left.is_multiple_of(7) && !left.is_multiple_of(8) => 7,
        _ => 8,
    }
}

kernel! {
    /// out[r · out.0 + p · out.1 + l] (+)= Σ_k weight[k · c + l] · source[offsets[k] + r · source.0 + p · source.1 + l].
    fn correlate<T>(s: Sweep, source: &[T], offsets: &[usize], weight: &[T], accumulate: bool, out: &mut [T]) {
        assert!(s.fits(source.len(), offsets, weight.len(), out.len()));
        // Neighbours in a row of the kernel read neighbours: each value is then read once for all of them.
        let threes = s.source.1 == s.c
            && offsets.len().is_multiple_of(3)
            && offsets.chunks(3).all(|o| (o[1], o[2]) == (o[0] + s.c, o[0] + 2 * s.c));
        // SAFETY: `fits` has found everything that is read and written to be there.
        unsafe {
            if threes {
                sweep::<T, FMA, L, 3>(&s, source, offsets, weight, accumulate, out)
            } else {
                sweep::<T, FMA, L, 1>(&s, source, offsets, weight, accumulate, out)
            }
        }
    }
}

/// [`correlate`] where the kernel's elements are rows of `K` neighbours.
///
/// # Safety
/// All that is read must be in `source` and in `weight`.
#[inline(always)]
unsafe fn sweep<T: Real, const FMA: bool, const L: usize, const K: usize>(
    s: &Sweep,
    source: &[T],
    offsets: &[usize],
    weight: &[T],
    accumulate: bool,
    out: &mut [T],
) {
    for first in (0..s.c).step_by(LINE) {
        let line = first..(first + LINE).min(s.c);
        for r in 0..s.rows {
            let mut p = 0;
            while p < s.cols {
                let n = block(s.cols - p);
                let at = (r * s.source.0 + p * s.source.1, r * s.out.0 + p * s.out.1);
                let l = line.clone();
                // SAFETY: the caller's promise.
                unsafe {
                    match n {
                        1 => of_line::<T, FMA, L, K, 1>(
                            s, source, offsets, weight, at, l, accumulate, out,
                        ),
                        2 => of_line::<T, FMA, L, K, 2>(
                            s, source, offsets, weight, at, l, accumulate, out,
                        ),
                        4 => of_line::<T, FMA, L, K, 4>(
                            s, source, offsets, weight, at, l, accumulate, out,
                        ),
                        7 => of_line::<T, FMA, L, K, 7>(
                            s, source, offsets, weight, at, l, accumulate, out,
                        ),
                        _ => of_line::<T, FMA, L, K, 8>(
                            s, source, offsets, weight, at, l, accumulate, out,
                        ),
                    }
                }
                p += n;
            }
        }
    }
}

/// [`sums`] of some channels.
///
/// # Safety
/// As [`sums`].
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn of_line<T: Real, const FMA: bool, const L: usize, const K: usize, const B: usize>(
    s: &Sweep,
    source: &[T],
    offsets: &[usize],
    weight: &[T],
    (from, to): (usize, usize),
    mut line: std::ops::Range<usize>,
    accumulate: bool,
    out: &mut [T],
) {
    while !line.is_empty() {
        let l = line.start;
        // A phase without kernel elements has no weight.
        let (at, w) = ((from + l, to + l), weight.get(l..).unwrap_or_default());
        // SAFETY: the caller's promise.
        line.start += unsafe {
            match line.len() {
                left if left >= L => {
                    sums::<T, FMA, L, K, B>(s, source, offsets, w, at, accumulate, out)
                }
                8.. => sums::<T, FMA, 8, K, B>(s, source, offsets, w, at, accumulate, out),
                _ => sums::<T, FMA, 1, K, B>(s, source, offsets, w, at, accumulate, out),
            }
        };
    }
}

/// `B` positions and `L` channels of [`sweep`], from `at` on in the source and in the result; gives `L`.
///
/// # Safety
/// All that is read must be in `source` and in `weight`.
#[inline(always)]
unsafe fn sums<T: Real, const FMA: bool, const L: usize, const K: usize, const B: usize>(
    s: &Sweep,
    source: &[T],
    offsets: &[usize],
    weight: &[T],
    (from, to): (usize, usize),
    accumulate: bool,
    out: &mut [T],
) -> usize {
    let mut acc = [[T::ZERO; L]; B];
    for (row, offset) in offsets.iter().step_by(K).enumerate() {
        // SAFETY: the caller's promise.
        let w: [[T; L]; K] =
            std::array::from_fn(|k| unsafe { vector(weight, (row * K + k) * s.c) });
        for i in 0..B + K - 1 {
            // SAFETY: the caller's promise.
            let x: [T; L] = unsafe { vector(source, offset + from + i * s.source.1) };
            // Every position that it is a neighbour of.
            for b in 0..B {
                if b <= i && i < b + K {
                    for lane in 0..L {
                        acc[b][lane] = x[lane].madd::<FMA>(w[i - b][lane], acc[b][lane]);
                    }
                }
            }
        }
    }
    for b in 0..B {
        let out = &mut out[to + b * s.out.1..][..L];
        for i in 0..L {
            out[i] = if accumulate {
                out[i] + acc[b][i]
            } else {
                acc[b][i]
            };
        }
    }
    L
}

kernel! {
    /// dw[k · c + l] += Σ d[r · out.0 + p · out.1 + l] · x[offsets[k] + r · source.0 + p · source.1 + l] over rows r and
    /// positions p.
    fn products<T>(s: Sweep, x: &[T], offsets: &[usize], d: &[T], dw: &mut [T]) {
        assert!(s.fits(x.len(), offsets, dw.len(), d.len()));
        let mut l = 0;
        while l < s.c {
            let wide = match s.c - l {
                left if left >= L => L,
                8.. => 8,
                _ => 1,
            };
            // SAFETY: `fits` has found everything that is read to be there.
            unsafe {
                match wide {
                    1 => products_of::<T, FMA, 1>(&s, x, offsets, d, l, dw),
                    8 => products_of::<T, FMA, 8>(&s, x, offsets, d, l, dw),
                    _ => products_of::<T, FMA, L>(&s, x, offsets, d, l, dw),
                }
            }
            l += wide;
        }
    }
}

/// `L` channels of [`products`], from `l` on, of some kernel elements after the others.
///
/// # Safety
/// All that is read must be in `x` and in `d`.
#[inline(always)]
unsafe fn products_of<T: Real, const FMA: bool, const L: usize>(
    s: &Sweep,
    x: &[T],
    offsets: &[usize],
    d: &[T],
    l: usize,
    dw: &mut [T],
) {
    let mut k = 0;
    while k < offsets.len() {
        let (offsets, dw) = (&offsets[k..], &mut dw[k * s.c + l..]);
        // SAFETY: the caller's promise.
        k += unsafe {
            match offsets.len() {
                left if left.is_multiple_of(7) => {
                    some_products::<T, FMA, L, 7>(s, x, offsets, d, l, dw)
                }
                9.. => some_products::<T, FMA, L, 9>(s, x, offsets, d, l, dw),
                4.. => some_products::<T, FMA, L, 4>(s, x, offsets, d, l, dw),
                _ => some_products::<T, FMA, L, 1>(s, x, offsets, d, l, dw),
            }
        };
    }
}

/// `N` kernel elements of [`products_of`].
///
/// # Safety
/// All that is read must be in `x` and in `d`.
#[inline(always)]
unsafe fn some_products<T: Real, const FMA: bool, const L: usize, const N: usize>(
    s: &Sweep,
    x: &[T],
    offsets: &[usize],
    d: &[T],
    l: usize,
    dw: &mut [T],
) -> usize {
    let offsets: [usize; N] = std::array::from_fn(|n| offsets[n] + l);
    let mut acc = [[T::ZERO; L]; N];
    for r in 0..s.rows {
        let (mut from, mut at) = (r * s.source.0, r * s.out.0 + l);
        for _ in 0..s.cols {
            // SAFETY: the caller's promise.
            let d: [T; L] = unsafe { vector(d, at) };
            for n in 0..N {
                // SAFETY: the caller's promise.
                let x: [T; L] = unsafe { vector(x, offsets[n] + from) };
                for i in 0..L {
                    acc[n][i] = d[i].madd::<FMA>(x[i], acc[n][i]);
                }
            }
            from += s.source.1;
            at += s.out.1;
        }
    }
    for (n, acc) in acc.iter().enumerate() {
        let dw = &mut dw[n * s.c..][..L];
        for i in 0..L {
            dw[i] += acc[i];
        }
    }
    N
}
