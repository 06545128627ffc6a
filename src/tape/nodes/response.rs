//! Global response normalisation (Woo et al. 2023, "ConvNeXt V2").
//!
//! With gᵢ the norm of channel i over all positions of an image and nᵢ = gᵢ / (mean of g + eps), a value x of channel i becomes
//! x · (1 + gammaᵢ · nᵢ) + betaᵢ. Backward keeps the norms alone; with tᵢ = Σ dy · x and dnᵢ = gammaᵢ · tᵢ,
//! dgᵢ = (dnᵢ − mean of dn · n) / (mean of g + eps) and dx = dy · (1 + gammaᵢ · nᵢ) + dgᵢ / gᵢ · x.

use crate::engine::{Back, Engine, Gradient, Need, Node, Slot, piece};
use crate::step::{NormStep, Output};
use crate::values::Value;
use candle_core::{DType, Result};
use hydranet_kernels::activation::Activation;
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::columns::{Transform, blend, in_order, pattern, products, total};
use rayon::prelude::*;
use std::ops::Add;
use std::sync::Arc;

struct Response {
    x: usize,
    gamma: usize,
    beta: usize,
    eps: f64,
    /// Of each image, the norm of each channel.
    norms: Vec<Vec<f64>>,
}

/// The mean norm, and eps so that nothing is divided by 0.
fn divisor(norms: &[f64], eps: f64) -> f64 {
    norms.iter().sum::<f64>() / norms.len() as f64 + eps
}

pub(super) fn forward<T: Value>(
    engine: &mut Engine<T>,
    &NormStep {
        x,
        ref gamma,
        ref beta,
        eps,
    }: &NormStep,
) -> Result<Output> {
    let slot = &engine.slots[x];
    let (dims, c) = (slot.dims, slot.dims[3]);
    let scales: Vec<f64> = gamma.to_dtype(DType::F64)?.to_vec1()?;
    let shifts: Vec<f64> = beta.to_dtype(DType::F64)?.to_vec1()?;
    let (input, image, len) = (slot.input()?, slot.image_len(), piece(dims));
    let mut y = Buffer::new(slot.len());
    let norms: Vec<Vec<f64>> = y
        .par_chunks_mut(image)
        .enumerate()
        .map(|(i, y)| {
            let squares: Vec<_> = y
                .par_chunks_mut(len)
                .enumerate()
                .map(|(j, y)| {
                    let from = i * image + j * len;
                    input.copy(from..from + y.len(), y);
                    products(y, y, c)
                })
                .collect();
            let norms: Vec<f64> = in_order(&squares, c, Add::add)
                .into_iter()
                .map(f64::sqrt)
                .collect();
            let share = 1.0 / divisor(&norms, eps);
            let scale = scales.iter().zip(&norms).map(|(w, g)| 1.0 + w * g * share);
            let shift = pattern(shifts.iter().copied());
            let finish = Transform::new(pattern(scale), shift, Activation::Identity);
            y.par_chunks_mut(len).for_each(|y| finish.apply_in_place(y));
            norms
        })
        .collect();
    let tracked = slot.tracked || gamma.track_op() || beta.track_op();
    let slot = Slot::new(dims, y, tracked);
    Ok(engine.give(slot, &[x], |engine, _| Response {
        x,
        gamma: engine.param(gamma),
        beta: engine.param(beta),
        eps,
        norms,
    }))
}

impl Response {
    /// Writes the gradient of one image's `dx`, which holds its values before; gives Σ dy and the share in gamma's gradient.
    fn image<T: Value>(
        &self,
        norms: &[f64],
        gamma: &[f64],
        len: usize,
        dy: &[T],
        dx: &mut [T],
    ) -> [Vec<f64>; 2] {
        let c = norms.len();
        let (sums, dots): (Vec<_>, Vec<_>) = dx
            .par_chunks(len)
            .zip(dy.par_chunks(len))
            .map(|(x, dy)| (total(dy, c), products(dy, x, c)))
            .unzip();
        let sums = in_order(&sums, c, Add::add);
        let dots = in_order(&dots, c, Add::add);
        let share = 1.0 / divisor(norms, self.eps);
        let relative = |i: usize| norms[i] * share;
        let mean = (0..c)
            .map(|i| gamma[i] * dots[i] * relative(i))
            .sum::<f64>()
            / c as f64;
        let scale = pattern((0..c).map(|i| 1.0 + gamma[i] * relative(i)));
        // A channel of zeros has no direction in which its norm grows: 0, as in PyTorch.
        let slope = pattern((0..c).map(|i| {
            if norms[i] > 0.0 {
                (gamma[i] * dots[i] - mean) * share / norms[i]
            } else {
                0.0
            }
        }));
        dx.par_chunks_mut(len)
            .zip(dy.par_chunks(len))
            .for_each(|(dx, dy)| {
                for (dx, dy) in dx.chunks_mut(scale.len()).zip(dy.chunks(scale.len())) {
                    blend(dy, &scale, &slope, dx);
                }
            });
        let d_gamma = (0..c).map(|i| dots[i] * relative(i)).collect();
        [sums, d_gamma]
    }
}

impl<T: Value> Node<T> for Response {
    fn reads(&self) -> Vec<(usize, Need)> {
        vec![(self.x, Need::Rounded)]
    }

    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let slot = &back.slots[self.x];
        let (c, image, len) = (slot.dims[3], slot.image_len(), piece(slot.dims));
        let (input, gamma) = (slot.input()?, &back.params[self.gamma].tensor);
        let gamma: Vec<f64> = gamma.to_dtype(DType::F64)?.to_vec1()?;
        let mut dx = Buffer::new(slot.len());
        let found: Vec<[Vec<f64>; 2]> = dx
            .par_chunks_mut(image)
            .zip(gradient.values.par_chunks(image))
            .zip(&self.norms)
            .enumerate()
            .map(|(i, ((dx, dy), norms))| {
                dx.par_chunks_mut(len).enumerate().for_each(|(j, dx)| {
                    let from = i * image + j * len;
                    input.copy(from..from + dx.len(), dx);
                });
                self.image(norms, &gamma, len, dy, dx)
            })
            .collect();
        let (d_beta, d_gamma): (Vec<_>, Vec<_>) = found.into_iter().map(|[b, g]| (b, g)).unzip();
        let as_param = |sums: Vec<f64>| sums.into_iter().map(T::from_f64).collect::<Vec<T>>();
        back.param(self.gamma, as_param(in_order(&d_gamma, c, Add::add)));
        back.param(self.beta, as_param(in_order(&d_beta, c, Add::add)));
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
