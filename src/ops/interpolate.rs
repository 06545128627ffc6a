//! Resizing of planes, bilinear and bicubic, with and without antialias.

use super::fallback;
use super::shared::{tensor, typed, typed_storage, values, with_values};
use super::simd::{Real, kernel};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// How a value is made of its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeFilter {
    /// Two neighbours an axis, linearly; with antialias a triangle.
    Bilinear,
    /// Four neighbours an axis by cubic convolution (Keys 1981), with a = −0.75 without and −0.5 with antialias, as in PyTorch.
    Bicubic,
}

impl ResizeFilter {
    /// Half the width of its support.
    fn radius(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// Its weight at distance `d`.
    fn weight(self, d: f64, a: f64) -> f64 {
        let d = d.abs();
        match self {
            Self::Bilinear => (1.0 - d).max(0.0),
            Self::Bicubic if d < 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
            Self::Bicubic if d < 2.0 => ((d - 5.0) * d + 8.0) * a * d - 4.0 * a,
            Self::Bicubic => 0.0,
        }
    }
}

/// Resizes each plane to `size` = (height, width) as PyTorch's `interpolate` with `align_corners=False`: centres of outer values
/// are half a value from the border. With `antialias` a filter widens with the reduction, so that every input counts.
///
/// # Shapes
/// `x` `(batch, C, H, W)`; result `(batch, C, size.0, size.1)`.
///
/// # Errors
/// If `x` has another rank, a size is 0, or on the CPU if the type is neither `f32` nor `f64`.
pub fn interpolate(
    x: &Tensor,
    size: (usize, usize),
    filter: ResizeFilter,
    antialias: bool,
) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::interpolate(x, size, filter, antialias);
    }
    let (rows, cols) = axes(x.dims(), size, filter, antialias)?;
    x.contiguous()?.apply_op1(Interpolate { rows, cols })
}

/// The weights of both axes.
pub(crate) fn axes(
    x: &[usize],
    size: (usize, usize),
    filter: ResizeFilter,
    antialias: bool,
) -> Result<(Weights, Weights)> {
    let &[_, _, h, w] = x else {
        bail!("interpolate: expected (batch, C, H, W), found {x:?}")
    };
    if h == 0 || w == 0 || size.0 == 0 || size.1 == 0 {
        bail!(
            "interpolate: cannot resize {h}×{w} to {}×{}",
            size.0,
            size.1
        )
    }
    Ok((
        Weights::new(h, size.0, filter, antialias),
        Weights::new(w, size.1, filter, antialias),
    ))
}

/// One axis as a banded matrix: output i is Σ_j `weights[i][j]` · input[`starts[i]` + j].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    pub inputs: usize,
    pub starts: Vec<usize>,
    pub weights: Vec<Vec<f64>>,
}

impl Weights {
    fn new(inputs: usize, outputs: usize, filter: ResizeFilter, antialias: bool) -> Self {
        let scale = inputs as f64 / outputs as f64;
        let (starts, weights) = (0..outputs)
            .map(|i| {
                if antialias {
                    smooth(inputs, scale, i, filter)
                } else {
                    sharp(inputs, scale, i, filter)
                }
            })
            .unzip();
        Self {
            inputs,
            starts,
            weights,
        }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.starts.len()
    }

    /// The matrix from outputs to inputs: what backward multiplies by.
    fn transpose(&self) -> Self {
        let mut rows = vec![BTreeMap::new(); self.inputs];
        for (i, (start, weights)) in self.starts.iter().zip(&self.weights).enumerate() {
            for (j, w) in weights.iter().enumerate() {
                rows[start + j].insert(i, *w);
            }
        }
        let bands = rows.iter().map(|row| {
            let (Some((first, _)), Some((last, _))) = (row.first_key_value(), row.last_key_value())
            else {
                return (0, Vec::new());
            };
            let band = (*first..=*last).map(|i| row.get(&i).copied().unwrap_or(0.0));
            (*first, band.collect())
        });
        let (starts, weights) = bands.unzip();
        Self {
            inputs: self.outputs(),
            starts,
            weights,
        }
    }

    /// As the values of a dense matrix (outputs × inputs).
    pub(crate) fn dense(&self) -> Vec<f64> {
        let mut matrix = vec![0.0; self.outputs() * self.inputs];
        for ((row, start), weights) in matrix
            .chunks_exact_mut(self.inputs)
            .zip(&self.starts)
            .zip(&self.weights)
        {
            row[*start..start + weights.len()].copy_from_slice(weights);
        }
        matrix
    }

    fn typed<T: Real>(&self) -> Vec<(usize, Vec<T>)> {
        let typed = |w: &Vec<f64>| w.iter().map(|w| T::from_f64(*w)).collect();
        self.starts
            .iter()
            .copied()
            .zip(self.weights.iter().map(typed))
            .collect()
    }
}

/// Start and weights of output `i` with antialias: the filter, widened by the scale where it reduces, over the inputs it covers.
fn smooth(inputs: usize, scale: f64, i: usize, filter: ResizeFilter) -> (usize, Vec<f64>) {
    let widening = scale.max(1.0);
    let support = filter.radius() * widening;
    let centre = scale * (i as f64 + 0.5);
    let start = (centre - support + 0.5).max(0.0) as usize;
    let end = ((centre + support + 0.5) as usize).min(inputs);
    let weights: Vec<f64> = (start..end)
        .map(|j| filter.weight((j as f64 - centre + 0.5) / widening, -0.5))
        .collect();
    let total: f64 = weights.iter().sum();
    (start, weights.iter().map(|w| w / total).collect())
}

/// Start and weights of output `i` without antialias: neighbours beyond the border are the value at the border.
fn sharp(inputs: usize, scale: f64, i: usize, filter: ResizeFilter) -> (usize, Vec<f64>) {
    let at = scale * (i as f64 + 0.5) - 0.5;
    let (at, reach) = match filter {
        ResizeFilter::Bilinear => (at.max(0.0), 0..2),
        ResizeFilter::Bicubic => (at, -1..3),
    };
    let floor = at.floor();
    let inside = |d: i64| (floor as i64 + d).clamp(0, inputs as i64 - 1) as usize;
    let start = inside(reach.start);
    let mut weights = vec![0.0; inside(reach.end - 1) - start + 1];
    for d in reach {
        weights[inside(d) - start] += filter.weight(at - floor - d as f64, -0.75);
    }
    (start, weights)
}

struct Interpolate {
    rows: Weights,
    cols: Weights,
}

kernel! {
    /// out[i] += w · row[i].
    fn add_scaled<T>(row: &[T], w: T, out: &mut [T]) {
        for (o, v) in out.iter_mut().zip(row) {
            *o = v.madd::<FMA>(w, *o);
        }
    }
}

/// Each plane of `x` times the weights of both axes: columns first, then rows.
fn apply<T: Real>(rows: &Weights, cols: &Weights, x: &[T]) -> Vec<T> {
    let (in_plane, out_plane) = (rows.inputs * cols.inputs, rows.outputs() * cols.outputs());
    let (typed_rows, typed_cols) = (rows.typed::<T>(), cols.typed::<T>());
    let mut y = vec![T::ZERO; x.len() / in_plane * out_plane];
    y.par_chunks_mut(out_plane)
        .zip(x.par_chunks(in_plane))
        .for_each_init(
            || vec![T::ZERO; rows.inputs * cols.outputs()],
            |narrowed, (y, x)| {
                let pairs = narrowed
                    .chunks_exact_mut(cols.outputs())
                    .zip(x.chunks_exact(cols.inputs));
                for (out, row) in pairs {
                    for (out, (start, weights)) in out.iter_mut().zip(&typed_cols) {
                        let mut sum = T::ZERO;
                        for (w, v) in weights.iter().zip(&row[*start..]) {
                            sum += *w * *v;
                        }
                        *out = sum;
                    }
                }
                let pairs = y.chunks_exact_mut(cols.outputs()).zip(&typed_rows);
                for (out, (start, weights)) in pairs {
                    let band = narrowed.chunks_exact(cols.outputs()).skip(*start);
                    for (w, row) in weights.iter().zip(band) {
                        add_scaled(row, *w, out);
                    }
                }
            },
        );
    y
}

impl Interpolate {
    fn back<T: Real>(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        with_values(dy, |dy: &[T]| {
            let dx = apply(&self.rows.transpose(), &self.cols.transpose(), dy);
            tensor(dx, x.dims())
        })
    }
}

impl CustomOp1 for Interpolate {
    fn name(&self) -> &'static str {
        "hydranet-interpolate"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, c, _, _) = layout.shape().dims4()?;
        let shape = Shape::from_dims(&[batch, c, self.rows.outputs(), self.cols.outputs()]);
        let storage = typed_storage!("interpolate", x, T => {
            apply::<T>(&self.rows, &self.cols, values(x, layout)?)
        });
        Ok((storage, shape))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        typed!("interpolate", x, T => self.back::<T>(x, dy).map(Some))
    }
}
