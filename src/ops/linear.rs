//! y = x·Wᵀ + b, and an activation of it.

use super::fallback;
use super::matmul::{Matrix, matmul, matmul_at};
use super::pointwise::{self, Pointwise};
use super::shared::{
    SharedMut, add_in_order, build, fill, lock, tensor, typed, typed_storage, values, with_values,
};
use super::simd::Real;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::sync::Mutex;

/// A linear layer.
///
/// # Shapes
/// `x` `(…, in)`, `weight` `(out, in)`, `bias` `(out)`; result `(…, out)`.
///
/// # Errors
/// If shapes do not fit, or the type is not a floating-point one (on the CPU: neither `f32` nor `f64`).
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::linear(x, weight, bias);
    }
    run(x, weight, bias, None)
}

/// An activation of a [`linear`] layer as one operator: backward keeps what the activation is of, and no third tensor is made.
///
/// # Shapes
/// As [`linear`].
///
/// # Errors
/// As [`linear`].
pub fn linear_act(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Pointwise,
) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::pointwise(&fallback::linear(x, weight, bias)?, activation);
    }
    run(x, weight, bias, Some(activation))
}

fn run(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Option<Pointwise>,
) -> Result<Tensor> {
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let bias = match bias {
        Some(bias) => bias.contiguous()?,
        None => Tensor::zeros(weight.dim(0)?, weight.dtype(), weight.device())?,
    };
    let tracked = x.track_op() || weight.track_op() || bias.track_op();
    let op = Linear {
        activation,
        tracked,
        kept: Mutex::new(None),
    };
    if tracked {
        x.apply_op3(&weight, &bias, op)
    } else {
        x.apply_op3_no_bwd(&weight, &bias, &op)
    }
}

struct Linear {
    activation: Option<Pointwise>,
    /// Whether backward may come.
    tracked: bool,
    /// What the activation is of, if there is one.
    kept: Mutex<Option<Tensor>>,
}

/// Rows a task computes: enough that the weight, packed anew by each task, costs little. Fixed, so that results do not depend on
/// the number of threads.
const ROWS: usize = 128;
/// Outputs and inputs of the tile of the weight's gradient that a task computes.
const TILE: (usize, usize) = (96, 192);

impl Linear {
    fn fwd<T: Real>(&self, inputs: usize, x: &[T], w: &[T], b: &[T]) -> Result<Vec<T>> {
        let outputs = b.len();
        let len = x.len() / inputs * outputs;
        let piece = ROWS * outputs;
        let preactivation = |i: usize, z: &mut [T]| {
            z.chunks_exact_mut(outputs)
                .for_each(|row| row.copy_from_slice(b));
            let rows = z.len() / outputs;
            matmul(
                (rows, outputs, inputs),
                Matrix::rows(&x[i * ROWS * inputs..], inputs),
                Matrix::transposed(w, inputs),
                z,
                outputs,
                true,
            );
        };
        let Some(activation) = self.activation else {
            let mut y = vec![T::ZERO; len];
            y.par_chunks_mut(piece)
                .enumerate()
                .for_each(|(i, y)| preactivation(i, y));
            return Ok(y);
        };
        if !self.tracked {
            // SAFETY: `forward` writes the whole of every piece.
            return Ok(unsafe {
                build(len, piece, |i, y| {
                    let mut z = vec![T::ZERO; y.len()];
                    preactivation(i, &mut z);
                    pointwise::forward(activation, &z, y);
                })
            });
        }
        let mut z = vec![T::ZERO; len];
        let shared = SharedMut::new(&mut z);
        // SAFETY: `forward` writes the whole of every piece, and each piece of `y` has its own of `z`.
        let y = unsafe {
            build(len, piece, |i, y| {
                let z = shared.range(i * piece, y.len());
                preactivation(i, z);
                pointwise::forward(activation, z, y);
            })
        };
        *lock(&self.kept) = Some(tensor(z, &[len])?);
        Ok(y)
    }

    fn back<T: Real>(&self, [x, w, b]: [&Tensor; 3], dy: &Tensor) -> Result<Gradients> {
        let Some(activation) = self.activation else {
            return with_values(dy, |dz: &[T]| gradients([x, w, b], dz));
        };
        let kept = lock(&self.kept);
        let Some(z) = &*kept else {
            bail!("linear: backward without forward")
        };
        let dz: Vec<T> = with_values(z, |z| with_values(dy, |dy| Ok(activation.back(z, dy))))?;
        gradients([x, w, b], &dz)
    }
}

type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

/// Σ of the rows, first of each task's, then of the tasks'.
fn bias_gradient<T: Real>(dz: &[T], outputs: usize) -> Vec<T> {
    let parts: Vec<T> = dz
        .par_chunks(ROWS * outputs)
        .flat_map_iter(|rows| add_in_order(rows, outputs))
        .collect();
    add_in_order(&parts, outputs)
}

/// The gradients of the arguments, from that of what the activation is of.
fn gradients<T: Real>([x, w, b]: [&Tensor; 3], dz: &[T]) -> Result<Gradients> {
    let (outputs, inputs) = w.dims2()?;
    let rows = dz.len() / outputs;
    let dx = x.track_op().then(|| {
        with_values(w, |w| {
            // SAFETY: a piece is whole rows, and the product writes the whole of it.
            let dx = unsafe {
                build(
                    rows * inputs,
                    ROWS * inputs,
                    |i, dx: &mut [MaybeUninit<T>]| {
                        matmul_at(
                            (dx.len() / inputs, inputs, outputs),
                            Matrix::rows(&dz[i * ROWS * outputs..], outputs),
                            Matrix::rows(w, inputs),
                            dx.as_mut_ptr().cast(),
                            inputs,
                            false,
                        );
                    },
                )
            };
            tensor(dx, x.dims())
        })
    });
    let dw = w.track_op().then(|| {
        with_values(x, |x| {
            let (down, across) = (outputs.div_ceil(TILE.0), inputs.div_ceil(TILE.1));
            // SAFETY: the tiles cover every value once, and a product writes the whole of its tile.
            let [dw] = unsafe {
                fill([outputs * inputs], |[dw]| {
                    (0..down * across).into_par_iter().for_each(|i| {
                        let (row, col) = (i / across * TILE.0, i % across * TILE.1);
                        let tile = (TILE.0.min(outputs - row), TILE.1.min(inputs - col));
                        matmul_at(
                            (tile.0, tile.1, rows),
                            Matrix::transposed(dz.get(row..).unwrap_or_default(), outputs),
                            Matrix::rows(x.get(col..).unwrap_or_default(), inputs),
                            dw.matrix(row * inputs + col, tile, inputs),
                            inputs,
                            false,
                        );
                    });
                })
            };
            tensor(dw, w.dims())
        })
    });
    let db = b
        .track_op()
        .then(|| tensor(bias_gradient(dz, outputs), b.dims()));
    Ok((dx.transpose()?, dw.transpose()?, db.transpose()?))
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
        let (&[ref leading @ .., inputs], &[outputs, w_inputs], &[bias]) =
            (x_layout.dims(), w_layout.dims(), b_layout.dims())
        else {
            bail!(
                "linear: expected x (…, in), weight (out, in) and bias (out), found {:?}, {:?} and {:?}",
                x_layout.dims(),
                w_layout.dims(),
                b_layout.dims()
            )
        };
        if inputs != w_inputs || outputs != bias || inputs == 0 || outputs == 0 {
            bail!(
                "linear: x has {inputs} features, weight is ({outputs}, {w_inputs}), bias ({bias})"
            )
        }
        let storage = typed_storage!("linear", x, T => self.fwd::<T>(
            inputs,
            values(x, x_layout)?,
            values(w, w_layout)?,
            values(b, b_layout)?,
        )?);
        let shape = [leading, &[outputs]].concat();
        Ok((storage, Shape::from_dims(&shape)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<Gradients> {
        typed!("linear", x, T => self.back::<T>([x, w, b], dy))
    }
}
