//! y = x·Wᵀ + b.

use super::geometry::parts;
use super::matmul::{Matrix, matmul};
use super::shared::{tensor, typed, typed_storage, values, with_values};
use super::simd::Real;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// A linear layer.
///
/// # Shapes
/// `x` `(batch, in)`, `weight` `(out, in)`, `bias` `(out)`; result `(batch, out)`.
///
/// # Errors
/// If shapes do not fit, tensors are not on the CPU, or the type is neither `f32` nor `f64`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (x, weight, bias) = (x.contiguous()?, weight.contiguous()?, bias.contiguous()?);
    x.apply_op3(&weight, &bias, Linear)
}

struct Linear;

/// Rows a task computes; fixed, so that results do not depend on the number of threads.
const ROWS: usize = 32;

impl Linear {
    fn fwd<T: Real>((inputs, outputs): (usize, usize), x: &[T], w: &[T], b: &[T]) -> Vec<T> {
        let mut y = vec![T::ZERO; x.len() / inputs * outputs];
        y.par_chunks_mut(ROWS * outputs)
            .zip(x.par_chunks(ROWS * inputs))
            .for_each(|(y, x)| {
                let rows = x.len() / inputs;
                y.chunks_exact_mut(outputs)
                    .for_each(|row| row.copy_from_slice(b));
                matmul(
                    (rows, outputs, inputs),
                    Matrix::rows(x, inputs),
                    Matrix::transposed(w, inputs),
                    y,
                    outputs,
                    true,
                );
            });
        y
    }

    fn back<T: Real>(
        x: &Tensor,
        w: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (batch, inputs) = x.dims2()?;
        let outputs = w.dim(0)?;
        with_values(dy, |dy: &[T]| {
            let dx = x.track_op().then(|| {
                with_values(w, |w| {
                    let mut dx = vec![T::ZERO; batch * inputs];
                    dx.par_chunks_mut(ROWS * inputs)
                        .zip(dy.par_chunks(ROWS * outputs))
                        .for_each(|(dx, dy)| {
                            let rows = dy.len() / outputs;
                            matmul(
                                (rows, inputs, outputs),
                                Matrix::rows(dy, outputs),
                                Matrix::rows(w, inputs),
                                dx,
                                inputs,
                                false,
                            );
                        });
                    tensor(dx, &[batch, inputs])
                })
            });
            let dw = w.track_op().then(|| {
                with_values(x, |x| {
                    let mut dw = vec![T::ZERO; outputs * inputs];
                    let shared = super::shared::SharedMut::new(&mut dw);
                    parts(outputs, outputs.div_ceil(ROWS))
                        .into_par_iter()
                        .for_each(|range| {
                            // SAFETY: each task owns its own rows of the weight's gradient.
                            let dw =
                                unsafe { shared.range(range.start * inputs, range.len() * inputs) };
                            let dy = Matrix::transposed(&dy[range.start..], outputs);
                            matmul(
                                (range.len(), inputs, batch),
                                dy,
                                Matrix::rows(x, inputs),
                                dw,
                                inputs,
                                false,
                            );
                        });
                    tensor(dw, &[outputs, inputs])
                })
            });
            let mut db = vec![T::ZERO; outputs];
            for row in dy.chunks_exact(outputs) {
                db.iter_mut().zip(row).for_each(|(b, d)| *b += *d);
            }
            Ok((
                dx.transpose()?,
                dw.transpose()?,
                Some(tensor(db, &[outputs])?),
            ))
        })
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "hydranet-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (&[batch, inputs], &[outputs, w_inputs], &[bias]) =
            (x_layout.dims(), w_layout.dims(), b_layout.dims())
        else {
            bail!("linear: expected x (batch, in), weight (out, in) and bias (out)")
        };
        if inputs != w_inputs || outputs != bias || inputs == 0 || outputs == 0 {
            bail!(
                "linear: x has {inputs} features, weight is ({outputs}, {w_inputs}), bias ({bias})"
            )
        }
        let sizes = (inputs, outputs);
        let storage = typed_storage!("linear", x, T => Self::fwd::<T>(
            sizes,
            values(x, x_layout)?,
            values(w, w_layout)?,
            values(b, b_layout)?,
        ));
        Ok((storage, Shape::from_dims(&[batch, outputs])))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        typed!("linear", x, T => Self::back::<T>(x, w, dy))
    }
}
