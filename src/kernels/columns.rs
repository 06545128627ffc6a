//! Loops over channels-last rows with one constant a channel.
//!
//! Constants are kept as a pattern: the channels repeated until they fill a few vectors, so that the loops run over long
//! stretches even where there are few channels.

use crate::activation::{self, Activation};
use crate::moments::Moments;
use crate::real::Real;
use crate::simd::kernel;

/// Values a pattern has at least.
const PATTERN: usize = 128;

/// How often the channels are repeated in a pattern.
fn repeats(channels: usize) -> usize {
    (PATTERN / channels.max(1)).max(1)
}

/// One constant a channel, as a pattern.
pub fn pattern<T: Real>(channels: impl Iterator<Item = f64>) -> Vec<T> {
    let one: Vec<T> = channels.map(T::from_f64).collect();
    one.repeat(repeats(one.len()))
}

/// What is done to a channel when it is read: f(v · scale + shift).
#[derive(Clone, Debug)]
pub struct Transform<T> {
    /// Patterns.
    pub scale: Vec<T>,
    pub shift: Vec<T>,
    /// f clamps to this, and then follows the curve, if any.
    pub bounds: (T, T),
    pub curve: Option<Activation>,
}

impl<T: Real> Transform<T> {
    /// `activation(v · scale + shift)`, scale and shift as patterns.
    pub fn new(scale: Vec<T>, shift: Vec<T>, activation: Activation) -> Self {
        Self {
            scale,
            shift,
            bounds: activation.bounds(),
            curve: activation.is_curve().then_some(activation),
        }
    }

    /// The transformation of some of all `channels`.
    pub fn of_channels(&self, range: std::ops::Range<usize>, channels: usize) -> Self {
        let part = |values: &[T]| {
            let one = &values[..channels][range.clone()];
            one.repeat(repeats(one.len()))
        };
        Self {
            scale: part(&self.scale),
            shift: part(&self.shift),
            bounds: self.bounds,
            curve: self.curve,
        }
    }

    /// `out` := the transformed `rows`.
    pub fn apply(&self, rows: &[T], out: &mut [T]) {
        let n = self.scale.len();
        for (rows, out) in rows.chunks(n).zip(out.chunks_mut(n)) {
            transform(rows, &self.scale, &self.shift, self.bounds, out);
        }
        self.bend(out);
    }

    pub fn apply_in_place(&self, rows: &mut [T]) {
        for rows in rows.chunks_mut(self.scale.len()) {
            transform_in_place(rows, &self.scale, &self.shift, self.bounds);
        }
        self.bend(rows);
    }

    fn bend(&self, rows: &mut [T]) {
        if let Some(curve) = self.curve {
            activation::forward(curve, rows);
        }
    }

    /// Gradients `d` behind f become those before it, at `y`; the scale is left out.
    pub fn backward_in_place(&self, y: &[T], d: &mut [T]) {
        let n = self.scale.len();
        let mut scratch = Vec::new();
        for (y, d) in y.chunks(n).zip(d.chunks_mut(n)) {
            match self.curve {
                Some(curve) => {
                    scratch.resize(2 * y.len(), T::ZERO);
                    let (before, behind) = scratch.split_at_mut(y.len());
                    transform(y, &self.scale, &self.shift, self.bounds, before);
                    behind.copy_from_slice(d);
                    activation::backward(curve, before, behind, d);
                }
                None => pass_in_place(y, &self.scale, &self.shift, self.bounds, d),
            }
        }
    }

    /// The gradient behind the curve, if there is one, for at most one pattern of values: f′ · `dz` at `y`.
    fn inside<'a>(&self, y: &[T], dz: &'a [T], scratch: &'a mut Vec<T>) -> &'a [T] {
        let Some(curve) = self.curve else { return dz };
        let n = dz.len();
        scratch.resize(2 * n, T::ZERO);
        let (before, d) = scratch.split_at_mut(n);
        transform(y, &self.scale, &self.shift, self.bounds, before);
        activation::backward(curve, before, dz, d);
        d
    }
}

/// From the gradient behind normalisation and activation to the one before:
/// scale · d − offset − slope · (y − mean), d the gradient that passes the activation.
#[derive(Clone, Debug)]
pub struct EpilogueGrad<T> {
    pub transform: Transform<T>,
    /// Patterns.
    pub mean: Vec<T>,
    pub offset: Vec<T>,
    pub slope: Vec<T>,
}

impl<T: Real> EpilogueGrad<T> {
    pub fn apply(&self, y: &[T], dz: &[T], out: &mut [T]) {
        let n = self.mean.len();
        let t = &self.transform;
        let mut scratch = Vec::new();
        for ((y, dz), out) in y.chunks(n).zip(dz.chunks(n)).zip(out.chunks_mut(n)) {
            let dz = t.inside(y, dz, &mut scratch);
            before_epilogue(
                y,
                dz,
                &t.scale,
                &t.shift,
                t.bounds,
                &self.mean,
                &self.offset,
                &self.slope,
                out,
            );
        }
    }
}

/// (Σ d, Σ d · (y − mean)) of each channel.
pub fn sums<T: Real>(
    y: &[T],
    dz: &[T],
    t: &Transform<T>,
    mean: &[T],
    channels: usize,
) -> Vec<(f64, f64)> {
    let n = mean.len();
    let (mut first, mut second) = (vec![T::ZERO; n], vec![T::ZERO; n]);
    let mut scratch = Vec::new();
    for (y, dz) in y.chunks(n).zip(dz.chunks(n)) {
        let dz = t.inside(y, dz, &mut scratch);
        add_sums(
            y,
            dz,
            &t.scale,
            &t.shift,
            t.bounds,
            mean,
            &mut first,
            &mut second,
        );
    }
    fold(&first, channels)
        .into_iter()
        .zip(fold(&second, channels))
        .collect()
}

/// What was found of each channel in every piece, put together in order, whatever thread found which.
pub fn in_order<S: Copy + Default>(
    pieces: &[Vec<S>],
    channels: usize,
    join: impl Fn(S, S) -> S,
) -> Vec<S> {
    let mut all = vec![S::default(); channels];
    for piece in pieces {
        for (all, s) in all.iter_mut().zip(piece) {
            *all = join(*all, *s);
        }
    }
    all
}

/// The channels' sums of all pieces, in order.
pub fn total_of_pairs(pieces: &[Vec<(f64, f64)>], channels: usize) -> Vec<(f64, f64)> {
    in_order(pieces, channels, |a, b| (a.0 + b.0, a.1 + b.1))
}

/// A pattern's values added up channel by channel.
fn fold<T: Real>(pattern: &[T], channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    for row in pattern.chunks_exact(channels) {
        for (sum, v) in sums.iter_mut().zip(row) {
            *sum += v.to_f64();
        }
    }
    sums
}

/// Σ of each channel over some rows.
pub fn total<T: Real>(rows: &[T], channels: usize) -> Vec<f64> {
    let n = channels * repeats(channels);
    let mut acc = vec![T::ZERO; n];
    for rows in rows.chunks(n) {
        add(rows, &mut acc);
    }
    fold(&acc, channels)
}

/// Σ a · b of each channel over some rows.
pub fn products<T: Real>(a: &[T], b: &[T], channels: usize) -> Vec<f64> {
    let n = channels * repeats(channels);
    let mut acc = vec![T::ZERO; n];
    for (a, b) in a.chunks(n).zip(b.chunks(n)) {
        add_products(a, b, &mut acc);
    }
    fold(&acc, channels)
}

/// `rows` := `rows` · `pattern`, value by value.
pub fn multiply<T: Real>(rows: &mut [T], pattern: &[T]) {
    for rows in rows.chunks_mut(pattern.len()) {
        multiply_in_place(rows, pattern);
    }
}

/// Moments of each channel over some rows, in two passes over values that are in the cache: no cancellation.
pub fn moments<T: Real>(rows: &[T], channels: usize) -> Vec<Moments> {
    let count = rows.len() / channels;
    let n = channels * repeats(channels);
    // Rounded to T before the second pass, so that it is about the very mean that is reported.
    let mean: Vec<f64> = total(rows, channels)
        .into_iter()
        .map(|s| T::from_f64(s / count as f64).to_f64())
        .collect();
    let about: Vec<T> = pattern(mean.iter().copied());
    let mut acc = vec![T::ZERO; n];
    for rows in rows.chunks(n) {
        add_squares(rows, &about, &mut acc);
    }
    mean.into_iter()
        .zip(fold(&acc, channels))
        .map(|(mean, m2)| Moments {
            count: count as f64,
            mean,
            m2,
        })
        .collect()
}

/// Clamps; a NaN stays a NaN, so that a broken value is seen and not hidden by an activation.
#[inline(always)]
fn clamp<T: Real>(v: T, bounds: (T, T)) -> T {
    let v = if v < bounds.0 { bounds.0 } else { v };
    if v > bounds.1 { bounds.1 } else { v }
}

/// The gradient strictly inside the interval, 0 outside and on its ends.
#[inline(always)]
fn passed<T: Real>(v: T, dz: T, bounds: (T, T)) -> T {
    let d = if v > bounds.0 { dz } else { T::ZERO };
    if v < bounds.1 { d } else { T::ZERO }
}

kernel! {
    fn transform<T>(rows: &[T], scale: &[T], shift: &[T], bounds: (T, T), out: &mut [T]) {
        for (((o, v), a), b) in out.iter_mut().zip(rows).zip(scale).zip(shift) {
            *o = clamp(v.madd::<FMA>(*a, *b), bounds);
        }
    }
}

kernel! {
    fn transform_in_place<T>(rows: &mut [T], scale: &[T], shift: &[T], bounds: (T, T)) {
        for ((v, a), b) in rows.iter_mut().zip(scale).zip(shift) {
            *v = clamp(v.madd::<FMA>(*a, *b), bounds);
        }
    }
}

kernel! {
    fn before_epilogue<T>(
        y: &[T], dz: &[T], scale: &[T], shift: &[T], bounds: (T, T), mean: &[T], offset: &[T], slope: &[T], out: &mut [T],
    ) {
        let n = out.len();
        let (y, dz, scale, shift) = (&y[..n], &dz[..n], &scale[..n], &shift[..n]);
        let (mean, offset, slope) = (&mean[..n], &offset[..n], &slope[..n]);
        for i in 0..n {
            let d = passed(y[i].madd::<FMA>(scale[i], shift[i]), dz[i], bounds);
            out[i] = scale[i] * d - slope[i].madd::<FMA>(y[i] - mean[i], offset[i]);
        }
    }
}

kernel! {
    fn pass_in_place<T>(y: &[T], scale: &[T], shift: &[T], bounds: (T, T), d: &mut [T]) {
        let n = d.len();
        let (y, scale, shift) = (&y[..n], &scale[..n], &shift[..n]);
        for i in 0..n {
            d[i] = passed(y[i].madd::<FMA>(scale[i], shift[i]), d[i], bounds);
        }
    }
}

kernel! {
    fn add_sums<T>(
        y: &[T], dz: &[T], scale: &[T], shift: &[T], bounds: (T, T), mean: &[T], first: &mut [T], second: &mut [T],
    ) {
        let n = y.len();
        let (dz, scale, shift, mean) = (&dz[..n], &scale[..n], &shift[..n], &mean[..n]);
        let (first, second) = (&mut first[..n], &mut second[..n]);
        for i in 0..n {
            let d = passed(y[i].madd::<FMA>(scale[i], shift[i]), dz[i], bounds);
            first[i] += d;
            second[i] = d.madd::<FMA>(y[i] - mean[i], second[i]);
        }
    }
}

kernel! {
    /// acc += rows.
    fn add<T>(rows: &[T], acc: &mut [T]) {
        for (a, v) in acc.iter_mut().zip(rows) {
            *a += *v;
        }
    }
}

kernel! {
    /// acc += a · b.
    fn add_products<T>(a: &[T], b: &[T], acc: &mut [T]) {
        for ((acc, a), b) in acc.iter_mut().zip(a).zip(b) {
            *acc = a.madd::<FMA>(*b, *acc);
        }
    }
}

kernel! {
    fn multiply_in_place<T>(rows: &mut [T], factors: &[T]) {
        for (v, f) in rows.iter_mut().zip(factors) {
            *v *= *f;
        }
    }
}

kernel! {
    /// acc += factor · a.
    fn add_times<T>(a: &[T], factor: T, acc: &mut [T]) {
        for (acc, a) in acc.iter_mut().zip(a) {
            *acc = a.madd::<FMA>(factor, *acc);
        }
    }
}

kernel! {
    fn add_squares<T>(rows: &[T], mean: &[T], acc: &mut [T]) {
        for ((a, v), m) in acc.iter_mut().zip(rows).zip(mean) {
            let d = *v - *m;
            *a = d.madd::<FMA>(d, *a);
        }
    }
}

kernel! {
    /// x := d · scale + x · slope.
    fn blend<T>(d: &[T], scale: &[T], slope: &[T], x: &mut [T]) {
        for (((x, d), a), b) in x.iter_mut().zip(d).zip(scale).zip(slope) {
            *x = d.madd::<FMA>(*a, *x * *b);
        }
    }
}

kernel! {
    /// out := a + factor · b.
    fn add_scaled<T>(a: &[T], b: &[T], factor: T, out: &mut [T]) {
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            *o = b.madd::<FMA>(factor, *a);
        }
    }
}

kernel! {
    /// out := factor · a.
    fn scaled<T>(a: &[T], factor: T, out: &mut [T]) {
        for (o, a) in out.iter_mut().zip(a) {
            *o = *a * factor;
        }
    }
}
