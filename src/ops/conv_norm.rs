//! Convolution with what follows it, as one differentiable operator: bias, or batch normalisation, and an activation.

use super::conv::{Finish, OutputGradient, backward, forward};
use super::fallback;
use super::geometry::{Conv2dParams, Geometry};
use super::norm::{Activation, ChannelBackward, affine, backward_sums};
use super::shared::{tensor, typed, typed_storage, values, with_values};
use super::simd::Real;
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::{Arc, Mutex};

/// The statistics a batch normalisation divides by.
#[derive(Clone, Debug)]
pub enum Statistics {
    /// Those of the batch, found in the forward pass and part of the gradient.
    Batch,
    /// Fixed ones, `(C)` each: constants to the gradient.
    Fixed {
        /// Mean of each channel.
        mean: Tensor,
        /// Variance of each channel.
        var: Tensor,
    },
}

/// Mean and variance of each channel over a batch, and the number of values they are of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchMoments {
    /// Mean of each channel.
    pub mean: Vec<f64>,
    /// Biased variance (divided by `count`) of each channel.
    pub var: Vec<f64>,
    /// Values a channel: batch · H · W.
    pub count: f64,
}

/// A batch normalisation: y = (x − mean) / √(var + eps) · gamma + beta (Ioffe and Szegedy 2015).
#[derive(Clone, Debug)]
pub struct Norm<'a> {
    /// Scale, `(C)`.
    pub gamma: &'a Tensor,
    /// Shift, `(C)`.
    pub beta: &'a Tensor,
    /// Added to the variance.
    pub eps: f64,
    /// What it divides by.
    pub statistics: Statistics,
}

/// Convolution, batch normalisation and activation as one operator. Backward keeps the convolution's output and recomputes the
/// rest.
///
/// The second value holds the batch's moments with [`Statistics::Batch`]; it is empty with fixed ones.
///
/// # Shapes
/// `x` `(batch, C, H, W)`, `weight` `(O, C / groups, kh, kw)`; result `(batch, O, H', W')`, see [`Conv2dParams`].
///
/// # Errors
/// If shapes do not fit, or on the CPU if the type is neither `f32` nor `f64`.
pub fn conv2d_norm_act(
    x: &Tensor,
    weight: &Tensor,
    params: Conv2dParams,
    norm: &Norm,
    activation: Activation,
) -> Result<(Tensor, BatchMoments)> {
    if !x.device().is_cpu() {
        return fallback::conv2d_norm_act(x, weight, params, norm, activation);
    }
    let fixed = match &norm.statistics {
        Statistics::Batch => None,
        Statistics::Fixed { mean, var } => Some((to_f64(mean)?, to_f64(var)?)),
    };
    let channels = weight.dim(0)?;
    if norm.gamma.dims() != [channels] || norm.beta.dims() != [channels] {
        bail!(
            "convolution: a weight of {channels} output channels needs as many scales and shifts (or biases), found {:?} and {:?}",
            norm.gamma.dims(),
            norm.beta.dims()
        )
    }
    let affine = Tensor::stack(&[norm.gamma, norm.beta], 0)?;
    let tracked = x.track_op() || weight.track_op() || affine.track_op();
    let found = Arc::new(Mutex::new(BatchMoments::default()));
    let op = ConvNorm {
        params,
        activation,
        fixed,
        eps: norm.eps,
        tracked,
        kept: Mutex::new(None),
        found: found.clone(),
    };
    let y = run(x, weight, &affine, op, tracked)?;
    let moments = std::mem::take(&mut *lock(&found));
    Ok((y, moments))
}

/// Convolution with optional bias and an activation.
///
/// # Shapes
/// As [`conv2d_norm_act`]; `bias` `(O)`.
///
/// # Errors
/// As [`conv2d_norm_act`].
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: Conv2dParams,
    activation: Activation,
) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::conv2d(x, weight, bias, params, activation);
    }
    // A bias is a normalisation with mean 0, variance 1, scale 1 and shift `bias`; a scale of exactly 1 changes no bit.
    let o = weight.dim(0)?;
    let ones = Tensor::ones(o, x.dtype(), x.device())?;
    let zeros = Tensor::zeros(o, x.dtype(), x.device())?;
    let norm = Norm {
        gamma: &ones,
        beta: bias.unwrap_or(&zeros),
        eps: 0.0,
        statistics: Statistics::Fixed {
            mean: zeros.clone(),
            var: ones.clone(),
        },
    };
    Ok(conv2d_norm_act(x, weight, params, &norm, activation)?.0)
}

fn run(
    x: &Tensor,
    weight: &Tensor,
    affine: &Tensor,
    op: ConvNorm,
    tracked: bool,
) -> Result<Tensor> {
    let (x, weight, affine) = (x.contiguous()?, weight.contiguous()?, affine.contiguous()?);
    if tracked {
        x.apply_op3(&weight, &affine, op)
    } else {
        x.apply_op3_no_bwd(&weight, &affine, &op)
    }
}

fn to_f64(t: &Tensor) -> Result<Vec<f64>> {
    t.to_dtype(DType::F64)?.to_vec1()
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A poisoned cell holds whole values all the same: they are only ever replaced.
    m.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

struct ConvNorm {
    params: Conv2dParams,
    activation: Activation,
    /// Mean and variance, if they are not the batch's.
    fixed: Option<(Vec<f64>, Vec<f64>)>,
    eps: f64,
    /// Whether backward may come.
    tracked: bool,
    kept: Mutex<Option<Kept>>,
    found: Arc<Mutex<BatchMoments>>,
}

/// What backward needs beside the arguments: the convolution's output, and each channel's mean and 1/√(var + eps).
struct Kept {
    y: Tensor,
    mean: Vec<f64>,
    inverse: Vec<f64>,
}

/// Each channel's scale = gamma · inverse and shift = beta − mean · scale.
fn scale_and_shift<T: Real>(affine: &[T], mean: &[f64], inverse: &[f64]) -> (Vec<T>, Vec<T>) {
    let (gamma, beta) = affine.split_at(mean.len());
    let scale: Vec<f64> = gamma
        .iter()
        .zip(inverse)
        .map(|(g, i)| g.to_f64() * i)
        .collect();
    let shift = beta
        .iter()
        .zip(mean)
        .zip(&scale)
        .map(|((b, m), s)| T::from_f64(b.to_f64() - m * s))
        .collect();
    (scale.into_iter().map(T::from_f64).collect(), shift)
}

impl ConvNorm {
    fn inverse(&self, var: &[f64]) -> Vec<f64> {
        var.iter().map(|v| 1.0 / (v + self.eps).sqrt()).collect()
    }

    fn fwd<T: Real>(&self, g: &Geometry, x: &[T], w: &[T], gamma_beta: &[T]) -> Result<Vec<T>> {
        let bounds = self.activation.bounds::<T>();
        let shape = [g.batch, g.o, g.oh, g.ow];
        let mut y = vec![T::ZERO; shape.iter().product()];
        // Fixed statistics and no backward: everything happens while the tile is in the cache.
        if let (Some((mean, var)), false) = (&self.fixed, self.tracked) {
            let (scale, shift) = scale_and_shift(gamma_beta, mean, &self.inverse(var));
            forward(
                g,
                x,
                w,
                &mut y,
                Finish::Affine {
                    scale: &scale,
                    shift: &shift,
                    bounds,
                },
            );
            return Ok(y);
        }
        let (mean, inverse) = if let Some((mean, var)) = &self.fixed {
            forward(g, x, w, &mut y, Finish::Leave);
            (mean.clone(), self.inverse(var))
        } else {
            let moments = forward(g, x, w, &mut y, Finish::Measure);
            let count = (g.batch * g.out_plane()) as f64;
            let mean: Vec<f64> = moments.iter().map(|m| m.mean).collect();
            let var: Vec<f64> = moments.iter().map(|m| m.m2 / count).collect();
            let inverse = self.inverse(&var);
            *lock(&self.found) = BatchMoments {
                mean: mean.clone(),
                var,
                count,
            };
            (mean, inverse)
        };
        let (scale, shift) = scale_and_shift(gamma_beta, &mean, &inverse);
        let mut z = vec![T::ZERO; y.len()];
        z.par_chunks_mut(g.out_plane())
            .zip(y.par_chunks(g.out_plane()))
            .enumerate()
            .for_each(|(plane, (z, y))| {
                affine(y, scale[plane % g.o], shift[plane % g.o], bounds, z);
            });
        if self.tracked {
            *lock(&self.kept) = Some(Kept {
                y: tensor(y, &shape)?,
                mean,
                inverse,
            });
        }
        Ok(z)
    }

    fn back<T: Real>(
        &self,
        x: &Tensor,
        w: &Tensor,
        gamma_beta: &Tensor,
        dz: &Tensor,
    ) -> Result<Gradients> {
        let g = Geometry::new(x.dims(), w.dims(), self.params)?;
        let kept = lock(&self.kept);
        let Some(Kept { y, mean, inverse }) = &*kept else {
            bail!("convolution: backward without forward")
        };
        let bounds = self.activation.bounds::<T>();
        let plane = g.out_plane();
        let (scale, shift) =
            with_values(gamma_beta, |a| Ok(scale_and_shift::<T>(a, mean, inverse)))?;
        with_values(y, |y| {
            with_values(dz, |dz| {
                // (Σ d, Σ d·(y − mean)) of each channel, planes joined in order.
                let planes: Vec<(f64, f64)> = y
                    .par_chunks(plane)
                    .zip(dz.par_chunks(plane))
                    .enumerate()
                    .map(|(i, (y, dz))| {
                        let c = i % g.o;
                        backward_sums(y, dz, T::from_f64(mean[c]), scale[c], shift[c], bounds)
                    })
                    .collect();
                let mut sums = vec![(0.0, 0.0); g.o];
                for (i, (a, b)) in planes.into_iter().enumerate() {
                    sums[i % g.o].0 += a;
                    sums[i % g.o].1 += b;
                }
                let count = (g.batch * plane) as f64;
                let channels: Vec<ChannelBackward<T>> = (0..g.o)
                    .map(|c| {
                        let s = scale[c].to_f64();
                        // Fixed statistics do not depend on y: no second and third term.
                        let (offset, slope) = if self.fixed.is_some() {
                            (0.0, 0.0)
                        } else {
                            (
                                s * sums[c].0 / count,
                                s * inverse[c] * inverse[c] * sums[c].1 / count,
                            )
                        };
                        ChannelBackward {
                            mean: T::from_f64(mean[c]),
                            scale: scale[c],
                            shift: shift[c],
                            offset: T::from_f64(offset),
                            slope: T::from_f64(slope),
                        }
                    })
                    .collect();
                let (dx, dw) = with_values(x, |x_values| {
                    with_values(w, |w_values| {
                        let dy = OutputGradient {
                            y,
                            dz,
                            channels: &channels,
                            bounds,
                        };
                        Ok(backward(
                            &g,
                            x_values,
                            w_values,
                            dy,
                            x.track_op(),
                            w.track_op(),
                        ))
                    })
                })?;
                let d_affine = sums
                    .iter()
                    .zip(inverse)
                    .map(|(s, i)| s.1 * i)
                    .chain(sums.iter().map(|s| s.0));
                let d_affine = tensor(d_affine.map(T::from_f64).collect(), &[2, g.o])?;
                let dx = dx.map(|d| tensor(d, x.dims())).transpose()?;
                let dw = dw.map(|d| tensor(d, w.dims())).transpose()?;
                Ok((dx, dw, Some(d_affine)))
            })
        })
    }
}

type Gradients = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl CustomOp3 for ConvNorm {
    fn name(&self) -> &'static str {
        "hydranet-conv2d-norm-act"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        affine: &CpuStorage,
        affine_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let g = Geometry::new(x_layout.dims(), w_layout.dims(), self.params)?;
        let fixed_len = self.fixed.as_ref().map_or(g.o, |(mean, var)| {
            if mean.len() == var.len() {
                mean.len()
            } else {
                0
            }
        });
        if affine_layout.dims() != [2, g.o] || fixed_len != g.o {
            bail!(
                "convolution: a weight of {} output channels needs as many scales, shifts and statistics",
                g.o
            )
        }
        let shape = Shape::from_dims(&[g.batch, g.o, g.oh, g.ow]);
        let storage = typed_storage!("convolution", x, T => self.fwd::<T>(
            &g,
            values(x, x_layout)?,
            values(w, w_layout)?,
            values(affine, affine_layout)?,
        )?);
        Ok((storage, shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        affine: &Tensor,
        _z: &Tensor,
        dz: &Tensor,
    ) -> Result<Gradients> {
        typed!("convolution", x, T => self.back::<T>(x, w, affine, dz))
    }
}
