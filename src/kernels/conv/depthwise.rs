//! Depthwise convolution, channels last: every loop runs over the channels of one position.

use super::plan::{Phase, Tap};
use super::seen::Seen;
use crate::buffer::Buffer;
use crate::geometry::Geometry;
use crate::real::Real;
use crate::shared::SharedMut;
use crate::simd::kernel;
use crate::transpose::transpose;

/// Positions whose sums [`correlate_any`] keeps in registers.
const BLOCK: usize = 4;

/// Channels at once, where two vectors of AVX2 hide the latency of a sum.
const CHANNELS: usize = 16;

/// A kernel (C, 1, kh, kw) as (kernel element, C).
pub(crate) fn by_element<T: Real>(g: &Geometry, w: &[T]) -> Vec<T> {
    let mut out = vec![T::ZERO; w.len()];
    transpose(w, g.c, g.kh * g.kw, &mut out);
    out
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
    let offsets: Vec<usize> = taps.iter().map(|t| t.offset(x.window.cols, g.c)).collect();
    for r in rows.clone() {
        let from = (r - rows.start) * g.p.stride.0 * x.window.cols * g.c;
        // SAFETY: a row of this task.
        let out = unsafe { y.range(y_at + r * g.ow * g.c, g.ow * g.c) };
        correlate(
            &x.values[from..],
            &offsets,
            weight,
            g.p.stride.1 * g.c,
            g.c,
            out,
        );
    }
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
    scratch: &mut Buffer<T>,
) {
    let (s, t) = g.p.stride;
    for phase in phases {
        let w: Vec<T> = phase
            .taps
            .iter()
            .flat_map(|tap| &weight[tap.element * g.c..][..g.c])
            .copied()
            .collect();
        scratch.reserve(phase.cols * g.c);
        let scratch = &mut scratch[..phase.cols * g.c];
        for i in inputs.start..inputs.end.min(phase.rows) {
            let offsets: Vec<usize> = phase
                .taps
                .iter()
                .map(|tap| dy.at(i as isize + tap.dy, tap.dx))
                .collect();
            let at = dx_at + ((phase.row + s * i) * g.w + phase.col) * g.c;
            let span = ((phase.cols - 1) * t + 1) * g.c;
            // SAFETY: a row of this task.
            let row = unsafe { dx.range(at, span) };
            if t == 1 && !accumulate {
                correlate(dy.values, &offsets, &w, g.c, g.c, row);
                continue;
            }
            correlate(dy.values, &offsets, &w, g.c, g.c, scratch);
            for (j, values) in scratch.chunks_exact(g.c).enumerate() {
                let out = &mut row[j * t * g.c..][..g.c];
                if accumulate {
                    out.iter_mut().zip(values).for_each(|(o, v)| *o += *v);
                } else {
                    out.copy_from_slice(values);
                }
            }
        }
    }
}

/// Adds a tile's share to the weight's gradient, kept as (kernel element, C).
pub(crate) fn backward_weight<T: Real>(
    g: &Geometry,
    x: Seen<T>,
    dy: Seen<T>,
    rows: std::ops::Range<usize>,
    dw: &mut [T],
) {
    let (s, t) = g.p.stride;
    for r in rows.clone() {
        let d = &dy.values[dy.at(r as isize, 0)..][..g.ow * g.c];
        for ky in 0..g.kh {
            let from = ((r - rows.start) * s + ky * g.p.dilation.0) * x.window.cols * g.c;
            let x = &x.values[from..];
            let dw = &mut dw[ky * g.kw * g.c..][..g.kw * g.c];
            let step = g.p.dilation.1 * g.c;
            let mut kx = 0;
            // As many kernel elements at once as registers hold.
            while kx < g.kw {
                let (x, dw) = (&x[kx * step..], &mut dw[kx * g.c..]);
                let left = g.kw - kx;
                kx += match left {
                    1 => inner::<T, 1>(x, d, step, t * g.c, g.c, dw),
                    2 => inner::<T, 2>(x, d, step, t * g.c, g.c, dw),
                    4 => inner::<T, 2>(x, d, step, t * g.c, g.c, dw),
                    5 => inner::<T, 5>(x, d, step, t * g.c, g.c, dw),
                    7 => inner::<T, 7>(x, d, step, t * g.c, g.c, dw),
                    _ => inner::<T, 3>(x, d, step, t * g.c, g.c, dw),
                };
            }
        }
    }
}

fn inner<T: Real, const K: usize>(
    x: &[T],
    d: &[T],
    tap: usize,
    step: usize,
    c: usize,
    dw: &mut [T],
) -> usize {
    match K {
        1 => inner_1(x, d, tap, step, c, dw),
        2 => inner_2(x, d, tap, step, c, dw),
        3 => inner_3(x, d, tap, step, c, dw),
        5 => inner_5(x, d, tap, step, c, dw),
        _ => inner_7(x, d, tap, step, c, dw),
    }
    K
}

macro_rules! inner_kernel {
    ($name:ident, $k:literal) => {
        kernel! {
            /// dw[k · c + l] += Σ over positions p of d[p · c + l] · x[p · step + k · tap + l].
            fn $name<T>(x: &[T], d: &[T], tap: usize, step: usize, c: usize, dw: &mut [T]) {
                let (positions, whole) = (d.len() / c, c / CHANNELS * CHANNELS);
                let last = positions.saturating_sub(1) * step + ($k - 1) * tap + c;
                assert!(last <= x.len() && $k * c <= dw.len());
                for l in (0..whole).step_by(CHANNELS) {
                    let mut acc = [[T::ZERO; CHANNELS]; $k];
                    for p in 0..positions {
                        // SAFETY: position p's channels end with d.
                        let d: [T; CHANNELS] = unsafe { vector(d, p * c + l) };
                        for k in 0..$k {
                            // SAFETY: no later than the last values, which were found to be in x.
                            let x: [T; CHANNELS] = unsafe { vector(x, p * step + k * tap + l) };
                            for i in 0..CHANNELS {
                                acc[k][i] = d[i].madd::<FMA>(x[i], acc[k][i]);
                            }
                        }
                    }
                    for k in 0..$k {
                        for i in 0..CHANNELS {
                            dw[k * c + l + i] += acc[k][i];
                        }
                    }
                }
                for l in whole..c {
                    for k in 0..$k {
                        let mut acc = T::ZERO;
                        for p in 0..positions {
                            acc = d[p * c + l].madd::<FMA>(x[p * step + k * tap + l], acc);
                        }
                        dw[k * c + l] += acc;
                    }
                }
            }
        }
    };
}
inner_kernel!(inner_1, 1);
inner_kernel!(inner_2, 2);
inner_kernel!(inner_3, 3);
inner_kernel!(inner_5, 5);
inner_kernel!(inner_7, 7);

/// out[p · c + l] = Σ_k weight[k · c + l] · source[offsets[k] + p · step + l].
pub(super) fn correlate<T: Real>(
    source: &[T],
    offsets: &[usize],
    weight: &[T],
    step: usize,
    c: usize,
    out: &mut [T],
) {
    // Neighbours in a row of the kernel read neighbours: each value is read once for all of them.
    let run = 1 + offsets.windows(2).take_while(|o| o[1] == o[0] + c).count();
    let alike = readable(run, source, offsets, weight, step, c, out);
    let correlate = match (if alike { run } else { 1 }, step / c) {
        (2, 1) => correlate_2,
        (3, 1) => correlate_3,
        (3, 2) => correlate_3_by_2,
        (5, 1) => correlate_5,
        (5, 2) => correlate_5_by_2,
        (7, 1) => correlate_7,
        _ => correlate_any,
    };
    correlate(source, offsets, weight, step, c, out);
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

/// `B` positions from `p` on and one vector of channels from `l` on, of rows of `K` neighbours, each position `S` values to the
/// right of the one before.
///
/// # Safety
/// All that is read must be in `source` and in `weight`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn neighbours<
    T: Real,
    const FMA: bool,
    const L: usize,
    const K: usize,
    const S: usize,
    const B: usize,
>(
    source: &[T],
    offsets: &[usize],
    weight: &[T],
    c: usize,
    p: usize,
    l: usize,
    out: &mut [T],
) {
    let mut acc = [[T::ZERO; L]; B];
    for (row, offset) in offsets.iter().step_by(K).enumerate() {
        // SAFETY: the caller's promise.
        let w: [[T; L]; K] =
            std::array::from_fn(|k| unsafe { vector(weight, (row * K + k) * c + l) });
        for i in 0..(B - 1) * S + K {
            // SAFETY: the caller's promise.
            let x: [T; L] = unsafe { vector(source, offset + (p * S + i) * c + l) };
            // Every position that it is a neighbour of.
            for b in 0..B {
                if b * S <= i && i < b * S + K {
                    for lane in 0..L {
                        acc[b][lane] = x[lane].madd::<FMA>(w[i - b * S][lane], acc[b][lane]);
                    }
                }
            }
        }
    }
    for (b, acc) in acc.iter().enumerate() {
        out[(p + b) * c + l..(p + b) * c + l + L].copy_from_slice(acc);
    }
}

/// Whether everything is there that [`correlate`] reads in rows of `k` neighbours.
fn readable<T>(
    k: usize,
    source: &[T],
    offsets: &[usize],
    weight: &[T],
    step: usize,
    c: usize,
    out: &[T],
) -> bool {
    let last = (out.len() / c).saturating_sub(1) * step + c;
    offsets.len() * c <= weight.len()
        && offsets.len().is_multiple_of(k)
        && offsets.iter().all(|o| o + last <= source.len())
        && offsets
            .chunks(k)
            .all(|row| row.windows(2).all(|o| o[1] == o[0] + c))
}

macro_rules! correlate_kernel {
    ($name:ident, $k:literal, $stride:literal, $lanes:expr, $most:literal) => {
        kernel! {
            /// [`correlate`] with the kernel elements being rows of as many neighbours, and steps of as many positions, as the
            /// name says.
            fn $name<T>(source: &[T], offsets: &[usize], weight: &[T], step: usize, c: usize, out: &mut [T]) {
                assert!(step == $stride * c && readable($k, source, offsets, weight, step, c, out));
                let (positions, whole) = (out.len() / c, c / $lanes * $lanes);
                let mut p = 0;
                while p < positions {
                    let left = positions - p;
                    for l in (0..whole).step_by($lanes) {
                        // SAFETY: what the channels of these positions read was found to be there.
                        unsafe {
                            match left {
                                1 => neighbours::<T, FMA, { $lanes }, $k, $stride, 1>(source, offsets, weight, c, p, l, out),
                                2 | 3 => neighbours::<T, FMA, { $lanes }, $k, $stride, 2>(source, offsets, weight, c, p, l, out),
                                4..8 => neighbours::<T, FMA, { $lanes }, $k, $stride, 4>(source, offsets, weight, c, p, l, out),
                                _ => neighbours::<T, FMA, { $lanes }, $k, $stride, $most>(source, offsets, weight, c, p, l, out),
                            }
                        }
                    }
                    p += if left < $most { 1 << left.ilog2() } else { $most };
                }
                for p in 0..positions {
                    for l in whole..c {
                        let mut acc = T::ZERO;
                        for (k, offset) in offsets.iter().enumerate() {
                            acc = source[offset + p * step + l].madd::<FMA>(weight[k * c + l], acc);
                        }
                        out[p * c + l] = acc;
                    }
                }
            }
        }
    };
}
correlate_kernel!(correlate_2, 2, 1, CHANNELS, 4);
correlate_kernel!(correlate_3, 3, 1, L, 8);
correlate_kernel!(correlate_3_by_2, 3, 2, CHANNELS, 4);
correlate_kernel!(correlate_5, 5, 1, CHANNELS, 4);
correlate_kernel!(correlate_5_by_2, 5, 2, CHANNELS, 4);
correlate_kernel!(correlate_7, 7, 1, CHANNELS, 4);

kernel! {
    /// [`correlate`].
    fn correlate_any<T>(source: &[T], offsets: &[usize], weight: &[T], step: usize, c: usize, out: &mut [T]) {
        let positions = out.len() / c;
        let whole = c / CHANNELS * CHANNELS;
        let mut p = 0;
        while p < positions {
            let n = BLOCK.min(positions - p);
            for l in (0..whole).step_by(CHANNELS) {
                let mut acc = [[T::ZERO; CHANNELS]; BLOCK];
                if n == BLOCK {
                    for (k, offset) in offsets.iter().enumerate() {
                        let w = &weight[k * c + l..k * c + l + CHANNELS];
                        for (b, acc) in acc.iter_mut().enumerate() {
                            let at = offset + (p + b) * step + l;
                            let x = &source[at..at + CHANNELS];
                            for i in 0..CHANNELS {
                                acc[i] = x[i].madd::<FMA>(w[i], acc[i]);
                            }
                        }
                    }
                } else {
                    for (k, offset) in offsets.iter().enumerate() {
                        let w = &weight[k * c + l..k * c + l + CHANNELS];
                        for (b, acc) in acc[..n].iter_mut().enumerate() {
                            let at = offset + (p + b) * step + l;
                            let x = &source[at..at + CHANNELS];
                            for i in 0..CHANNELS {
                                acc[i] = x[i].madd::<FMA>(w[i], acc[i]);
                            }
                        }
                    }
                }
                for (b, acc) in acc[..n].iter().enumerate() {
                    out[(p + b) * c + l..(p + b) * c + l + CHANNELS].copy_from_slice(acc);
                }
            }
            for b in 0..n {
                for l in whole..c {
                    let mut acc = T::ZERO;
                    for (k, offset) in offsets.iter().enumerate() {
                        acc = source[offset + (p + b) * step + l].madd::<FMA>(weight[k * c + l], acc);
                    }
                    out[(p + b) * c + l] = acc;
                }
            }
            p += n;
        }
    }
}
