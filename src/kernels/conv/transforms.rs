//! The transformations of Winograd's F(2 × 2, 3 × 3), a vector of channels at a time. See `winograd.rs`.
//!
//! Written out without loops over the four by four places: in loops the compiler keeps these vectors in memory, which takes ten
//! times as long.

use crate::real::Real;
use crate::simd::kernel;

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

/// `L` values from `at` on.
#[inline(always)]
fn load<T: Real, const L: usize>(values: &[T], at: usize) -> [T; L] {
    let mut out = [T::ZERO; L];
    out.copy_from_slice(&values[at..at + L]);
    out
}

macro_rules! transformation {
    ($(#[$meta:meta])* $name:ident, $transform:ident) => {
        kernel! {
            $(#[$meta])*
            fn $name<T>(from: &[T], from_step: usize, c: usize, to: &mut [T], to_step: usize) {
                let whole = c / L * L;
                for at in (0..whole).step_by(L) {
                    $transform::<T, L>(
                        |place| load(from, place * from_step + at),
                        |place, v| to[place * to_step + at..][..L].copy_from_slice(&v),
                    );
                }
                for at in whole..c {
                    $transform::<T, 1>(
                        |place| [from[place * from_step + at]],
                        |place, v| to[place * to_step + at] = v[0],
                    );
                }
            }
        }
    };
}

transformation! {
    /// Bᵀ·d·B of a patch: sixteen rows of c values to sixteen; steps are from one row to the next.
    input_of, input
}

transformation! {
    /// Aᵀ·m·A: sixteen rows of c values to the four of 2 · 2 outputs.
    output_of, output
}

transformation! {
    /// A·dy·Aᵀ: the four rows of 2 · 2 outputs' gradients to sixteen.
    gradient_of, gradient
}
