//! Depthwise convolution, directly and vectorised over flat planes.
//!
//! A padded plane is split by phase: phase (i, j) of stride (s, t) holds its rows i, i + s, … and columns j, j + t, …. In that
//! form every kernel element is a constant offset into one flat phase, for every output position at once, so the inner loop runs
//! over long contiguous stretches whatever the row length; a few columns past each row's end are computed and not used.

use super::geometry::Geometry;
use super::simd::{LANES, Real, dot, kernel};

/// Output columns the inner loop holds in registers.
const BLOCK: usize = 4 * LANES;

/// The flat form of one plane of a depthwise convolution.
pub(crate) struct Flat {
    /// Rows and columns of a phase.
    rows: usize,
    cols: usize,
    /// Values between one phase's start and the next: the phase and room for a whole last block.
    pitch: usize,
    /// Flat output positions, from the first row's first to the last row's last.
    len: usize,
    /// (phase, offset within it) of each kernel element.
    taps: Vec<(usize, usize)>,
    phases: usize,
}

impl Flat {
    pub(crate) fn new(g: &Geometry) -> Self {
        let (s, t) = g.p.stride;
        let (rows, cols) = (g.oh + (g.kh - 1) / s, g.ow + (g.kw - 1) / t);
        let taps = (0..g.kh * g.kw)
            .map(|i| (i / g.kw, i % g.kw))
            .map(|(y, x)| ((y % s) * t + x % t, (y / s) * cols + x / t))
            .collect();
        let len = (g.oh - 1) * cols + g.ow;
        Self {
            rows,
            cols,
            pitch: rows * cols + BLOCK,
            len,
            taps,
            phases: s * t,
        }
    }

    /// Values of the scratch that holds all phases.
    pub(crate) fn phases_len(&self) -> usize {
        self.phases * self.pitch
    }

    /// Values of the scratch that holds a flat output, with a margin in front for backward and a whole last block behind.
    pub(crate) fn output_len(&self) -> usize {
        self.margin() + self.rows * self.cols + BLOCK
    }

    /// The largest offset of a kernel element.
    fn margin(&self) -> usize {
        self.taps.iter().map(|t| t.1).max().unwrap_or(0)
    }

    /// Fills `phases` (all zero, or filled for the same geometry before) from a plane.
    pub(crate) fn split<T: Real>(&self, g: &Geometry, plane: &[T], phases: &mut [T]) {
        self.visit(g, |at, range, step| {
            let source = plane[range].iter().step_by(step);
            phases[at..]
                .iter_mut()
                .zip(source)
                .for_each(|(p, v)| *p = *v);
        });
    }

    /// The inverse of [`split`](Self::split): collects a plane from its phases; positions that no output sees are 0.
    pub(crate) fn join<T: Real>(&self, g: &Geometry, phases: &[T], plane: &mut [T]) {
        plane.fill(T::ZERO);
        self.visit(g, |at, range, step| {
            let target = plane[range].iter_mut().step_by(step);
            phases[at..].iter().zip(target).for_each(|(p, v)| *v = *p);
        });
    }

    /// Calls `f(start in the phases, range in the plane, step)` for each stretch of a plane's row that lies in one phase's row.
    fn visit(&self, g: &Geometry, mut f: impl FnMut(usize, std::ops::Range<usize>, usize)) {
        let (s, t) = g.p.stride;
        let [top, _, left, _] = g.p.padding;
        for y in 0..g.h {
            let (row, phase_y) = ((y + top) / s, (y + top) % s);
            if row >= self.rows {
                continue;
            }
            for phase_x in 0..t {
                // First column of this phase that lies inside the plane.
                let col = left.saturating_sub(phase_x).div_ceil(t);
                let x = col * t + phase_x - left;
                if col >= self.cols || x >= g.w {
                    continue;
                }
                let count = (self.cols - col).min((g.w - x).div_ceil(t));
                let at = (phase_y * t + phase_x) * self.pitch + row * self.cols + col;
                f(at, y * g.w + x..y * g.w + x + (count - 1) * t + 1, t);
            }
        }
    }

    /// `flat` (of [`output_len`](Self::output_len)) := the convolution's output, rows `cols` apart, unused columns between.
    pub(crate) fn forward<T: Real>(&self, phases: &[T], weight: &[T], flat: &mut [T]) {
        let offsets: Vec<usize> = self.taps.iter().map(|(p, o)| p * self.pitch + o).collect();
        correlate(
            phases,
            &offsets,
            weight,
            &mut flat[..self.len.next_multiple_of(BLOCK)],
        );
    }

    /// Copies the used columns of `flat` to a plane of outputs.
    pub(crate) fn compact<T: Real>(&self, g: &Geometry, flat: &[T], plane: &mut [T]) {
        for (row, out) in plane.chunks_exact_mut(g.ow).enumerate() {
            out.copy_from_slice(&flat[row * self.cols..row * self.cols + g.ow]);
        }
    }

    /// Where the flat form of an output row begins, behind the margin of zeros that backward reads.
    pub(crate) fn output_row(&self, row: usize) -> usize {
        self.margin() + row * self.cols
    }

    /// Phases of the input's gradient from the flat gradient of the output (rows at [`output_row`](Self::output_row), zeros
    /// everywhere else).
    pub(crate) fn backward_input<T: Real>(&self, flat: &[T], weight: &[T], phases: &mut [T]) {
        let margin = self.margin();
        for phase in 0..self.phases {
            let mut offsets = Vec::with_capacity(self.taps.len());
            let mut weights = Vec::with_capacity(self.taps.len());
            for ((p, offset), w) in self.taps.iter().zip(weight) {
                if *p == phase {
                    offsets.push(margin - offset);
                    weights.push(*w);
                }
            }
            let out = &mut phases[phase * self.pitch..]
                [..(self.rows * self.cols).next_multiple_of(BLOCK)];
            correlate(flat, &offsets, &weights, out);
        }
    }

    /// The weight's gradient: one inner product a kernel element.
    pub(crate) fn backward_weight<T: Real>(&self, phases: &[T], flat: &[T], dw: &mut [T]) {
        let d = &flat[self.margin()..self.margin() + self.len];
        for ((phase, offset), dw) in self.taps.iter().zip(dw) {
            *dw = dot(d, &phases[phase * self.pitch + offset..][..self.len]);
        }
    }
}

kernel! {
    /// out[i] = Σ_t weights[t] · source[offsets[t] + i]; the length of `out` is a multiple of `BLOCK`.
    fn correlate<T>(source: &[T], offsets: &[usize], weights: &[T], out: &mut [T]) {
        for (block, out) in out.chunks_exact_mut(BLOCK).enumerate() {
            let start = block * BLOCK;
            let mut acc = [[T::ZERO; LANES]; 4];
            for (offset, weight) in offsets.iter().zip(weights) {
                let source = &source[start + offset..start + offset + BLOCK];
                for (v, acc) in acc.iter_mut().enumerate() {
                    for l in 0..LANES {
                        acc[l] = source[v * LANES + l].madd::<FMA>(*weight, acc[l]);
                    }
                }
            }
            for (out, acc) in out.chunks_exact_mut(LANES).zip(&acc) {
                out.copy_from_slice(acc);
            }
        }
    }
}
