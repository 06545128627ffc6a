//! The transformations of Winograd's F(2 × 2, 3 × 3), a vector of channels at a time. See `winograd.rs`.
//!
//! Written out without loops over the four by four places, and without vectors that are not whole: with them the compiler keeps
//! everything in memory, which takes more than twice as long.

use crate::real::Real;
use crate::simd::kernel;
use std::ops::Range;

#[inline(always)]
fn plus<T: Real, const L: usize>(a: [T; L], b: [T; L]) -> [T; L] {
    std::array::from_fn(|i| a[i] + b[i])
}

#[inline(always)]
fn minus<T: Real, const L: usize>(a: [T; L], b: [T; L]) -> [T; L] {
    std::array::from_fn(|i| a[i] - b[i])
}

/// Bᵀ·(four values).
#[inline(always)]
fn by_b<T: Real, const L: usize>([a, b, c, d]: [[T; L]; 4]) -> [[T; L]; 4] {
    [minus(a, c), plus(b, c), minus(c, b), minus(b, d)]
}

/// Aᵀ·(four values).
#[inline(always)]
fn by_a<T: Real, const L: usize>([a, b, c, d]: [[T; L]; 4]) -> [[T; L]; 2] {
    [plus(plus(a, b), c), minus(minus(b, c), d)]
}

/// A·(two values).
#[inline(always)]
fn from_a<T: Real, const L: usize>([a, b]: [[T; L]; 2]) -> [[T; L]; 4] {
    [a, plus(a, b), minus(a, b), minus([T::ZERO; L], b)]
}

macro_rules! put_row {
    ($put:ident, $place:literal, $four:expr) => {
        let [a, b, c, d] = $four;
        $put($place, a);
        $put($place + 1, b);
        $put($place + 2, c);
        $put($place + 3, d);
    };
}

/// Bᵀ·d·B: `get(place)` of the sixteen, row by row, to `put(place, values)`.
#[inline(always)]
fn input<T: Real, const L: usize>(
    get: impl Fn(usize) -> [T; L],
    mut put: impl FnMut(usize, [T; L]),
) {
    let [a0, a1, a2, a3] = by_b([get(0), get(4), get(8), get(12)]);
    let [b0, b1, b2, b3] = by_b([get(1), get(5), get(9), get(13)]);
    let [c0, c1, c2, c3] = by_b([get(2), get(6), get(10), get(14)]);
    let [d0, d1, d2, d3] = by_b([get(3), get(7), get(11), get(15)]);
    put_row!(put, 0, by_b([a0, b0, c0, d0]));
    put_row!(put, 4, by_b([a1, b1, c1, d1]));
    put_row!(put, 8, by_b([a2, b2, c2, d2]));
    put_row!(put, 12, by_b([a3, b3, c3, d3]));
}

/// Aᵀ·m·A: `get(place)` of the sixteen to `put(place, values)` of the four.
#[inline(always)]
fn output<T: Real, const L: usize>(
    get: impl Fn(usize) -> [T; L],
    mut put: impl FnMut(usize, [T; L]),
) {
    let [a0, a1] = by_a([get(0), get(4), get(8), get(12)]);
    let [b0, b1] = by_a([get(1), get(5), get(9), get(13)]);
    let [c0, c1] = by_a([get(2), get(6), get(10), get(14)]);
    let [d0, d1] = by_a([get(3), get(7), get(11), get(15)]);
    let ([y0, y1], [y2, y3]) = (by_a([a0, b0, c0, d0]), by_a([a1, b1, c1, d1]));
    put(0, y0);
    put(1, y1);
    put(2, y2);
    put(3, y3);
}

/// A·dy·Aᵀ: `get(place)` of the four to `put(place, values)` of the sixteen.
#[inline(always)]
fn gradient<T: Real, const L: usize>(
    get: impl Fn(usize) -> [T; L],
    mut put: impl FnMut(usize, [T; L]),
) {
    let [a0, a1, a2, a3] = from_a([get(0), get(2)]);
    let [b0, b1, b2, b3] = from_a([get(1), get(3)]);
    put_row!(put, 0, from_a([a0, b0]));
    put_row!(put, 4, from_a([a1, b1]));
    put_row!(put, 8, from_a([a2, b2]));
    put_row!(put, 12, from_a([a3, b3]));
}

/// G·(three values).
#[inline(always)]
fn by_g<T: Real, const L: usize>([a, b, c]: [[T; L]; 3]) -> [[T; L]; 4] {
    let half = T::from_f64(0.5);
    let halved = |v: [T; L]| v.map(|v| v * half);
    let (sum, difference) = (plus(plus(a, b), c), plus(minus(a, b), c));
    [a, halved(sum), halved(difference), c]
}

/// Gᵀ·(four values).
#[inline(always)]
fn from_g<T: Real, const L: usize>([a, b, c, d]: [[T; L]; 4]) -> [[T; L]; 3] {
    let half = T::from_f64(0.5);
    let both = plus(b, c).map(|v| v * half);
    [plus(a, both), minus(b, c).map(|v| v * half), plus(both, d)]
}

/// G·g·Gᵀ: `get(element)` of the nine to `put(place, values)` of the sixteen.
#[inline(always)]
fn kernel_inwards<T: Real, const L: usize>(
    get: impl Fn(usize) -> [T; L],
    mut put: impl FnMut(usize, [T; L]),
) {
    let [a0, a1, a2, a3] = by_g([get(0), get(3), get(6)]);
    let [b0, b1, b2, b3] = by_g([get(1), get(4), get(7)]);
    let [c0, c1, c2, c3] = by_g([get(2), get(5), get(8)]);
    put_row!(put, 0, by_g([a0, b0, c0]));
    put_row!(put, 4, by_g([a1, b1, c1]));
    put_row!(put, 8, by_g([a2, b2, c2]));
    put_row!(put, 12, by_g([a3, b3, c3]));
}

/// Gᵀ·du·G: `get(place)` of the sixteen to `put(element, values)` of the nine.
#[inline(always)]
fn kernel_outwards<T: Real, const L: usize>(
    get: impl Fn(usize) -> [T; L],
    mut put: impl FnMut(usize, [T; L]),
) {
    let [a0, a1, a2] = from_g([get(0), get(4), get(8), get(12)]);
    let [b0, b1, b2] = from_g([get(1), get(5), get(9), get(13)]);
    let [c0, c1, c2] = from_g([get(2), get(6), get(10), get(14)]);
    let [d0, d1, d2] = from_g([get(3), get(7), get(11), get(15)]);
    let mut row = 0;
    for [a, b, c] in [
        from_g([a0, b0, c0, d0]),
        from_g([a1, b1, c1, d1]),
        from_g([a2, b2, c2, d2]),
    ] {
        put(row, a);
        put(row + 1, b);
        put(row + 2, c);
        row += 3;
    }
}

/// Where vectors of `L` begin that cover `count` values, the last one some of them once more; fewer values than that are single.
#[inline(always)]
fn starts<const L: usize>(count: usize) -> (impl Iterator<Item = usize>, Range<usize>) {
    let (end, single) = if count < L { (0, count) } else { (count, 0) };
    let vectors = (0..end).step_by(L).map(move |at| at.min(end - L));
    (vectors, 0..single)
}

/// Elements of a kernel.
const NINE: usize = 9;

/// An element of each of `L` kernels.
#[inline(always)]
fn element_of<T: Real, const L: usize>(w: &[T], element: usize) -> [T; L] {
    std::array::from_fn(|i| w[i * NINE + element])
}

#[inline(always)]
fn put_element<T: Real, const L: usize>(w: &mut [T], element: usize, values: [T; L]) {
    for (i, v) in values.into_iter().enumerate() {
        w[i * NINE + element] = v;
    }
}

kernel! {
    /// G·g·Gᵀ of the kernels of some input channels, nine values each, with `turn` turned round: to sixteen rows.
    fn kernels_in<T>(w: &[T], turn: bool, out: [&mut [T]; 16]) {
        let (mut out, count) = (out, w.len() / NINE);
        let element = |e: usize| if turn { NINE - 1 - e } else { e };
        let (vectors, single) = starts::<L>(count);
        for at in vectors {
            let w = &w[at * NINE..][..L * NINE];
            kernel_inwards::<T, L>(
                |e| element_of(w, element(e)),
                |place, v| out[place][at..at + L].copy_from_slice(&v),
            );
        }
        for at in single {
            let w = &w[at * NINE..][..NINE];
            kernel_inwards::<T, 1>(|e| [w[element(e)]], |place, v| out[place][at] = v[0]);
        }
    }
}

kernel! {
    /// Gᵀ·du·G of sixteen rows, `step` apart: the gradients of the kernels of some input channels, nine values each.
    fn kernels_out<T>(du: &[T], step: usize, dw: &mut [T]) {
        let (vectors, single) = starts::<L>(dw.len() / NINE);
        for at in vectors {
            let dw = &mut dw[at * NINE..][..L * NINE];
            kernel_outwards::<T, L>(
                |place| load(du, place * step + at),
                |e, v| put_element(dw, e, v),
            );
        }
        for at in single {
            let dw = &mut dw[at * NINE..][..NINE];
            kernel_outwards::<T, 1>(|place| [du[place * step + at]], |e, v| dw[e] = v[0]);
        }
    }
}

/// `L` values from `at` on.
#[inline(always)]
fn load<T: Real, const L: usize>(values: &[T], at: usize) -> [T; L] {
    let mut out = [T::ZERO; L];
    out.copy_from_slice(&values[at..at + L]);
    out
}

macro_rules! transformation {
    ($(#[$meta:meta])* $name:ident, $transform:ident, $columns:literal) => {
        kernel! {
            $(#[$meta])*
            fn $name<T>(from: &[T], steps: (usize, usize), c: usize, to: &mut [T], to_step: usize) {
                let start = |place: usize| place / $columns * steps.0 + place % $columns * steps.1;
                let (vectors, single) = starts::<L>(c);
                for at in vectors {
                    $transform::<T, L>(
                        |place| load(from, start(place) + at),
                        |place, v| to[place * to_step + at..][..L].copy_from_slice(&v),
                    );
                }
                for at in single {
                    $transform::<T, 1>(
                        |place| [from[start(place) + at]],
                        |place, v| to[place * to_step + at] = v[0],
                    );
                }
            }
        }
    };
}

transformation! {
    /// Bᵀ·d·B of a patch of 4 · 4 positions of `c` values, `steps` from one row and one column to the next: to sixteen rows,
    /// `to_step` apart.
    input_of, input, 4
}

transformation! {
    /// Aᵀ·m·A: of sixteen rows to 2 · 2 outputs.
    output_of, output, 4
}

transformation! {
    /// A·dy·Aᵀ: of the gradients of 2 · 2 outputs to sixteen rows.
    gradient_of, gradient, 2
}
