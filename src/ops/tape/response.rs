//! Global response normalisation (Woo et al. 2023, "ConvNeXt V2"), as a step of a tape.
//!
//! With gᵢ the norm of channel i over all positions of an image and nᵢ = gᵢ / (mean of g + eps), a value x of channel i becomes
//! x · (1 + gammaᵢ · nᵢ) + betaᵢ. Backward keeps the norms alone; with tᵢ = Σ dy · x and dnᵢ = gammaᵢ · tᵢ,
//! dgᵢ = (dnᵢ − mean of dn · n) / (mean of g + eps) and dx = dy · (1 + gammaᵢ · nᵢ) + dgᵢ / gᵢ · x.

use super::columns::{Transform, blend, pattern, products, total};
use super::engine::{Back, Engine, Need, Node, Slot};
use super::join::{read, stretch};
use crate::buffer::Buffer;
use crate::norm::Activation;
use crate::simd::Real;
use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;
use std::sync::Arc;

struct Response {
    x: usize,
    y: usize,
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

/// The sums of the pieces, in order.
fn joined(pieces: Vec<Vec<f64>>, channels: usize) -> Vec<f64> {
    let mut sums = vec![0.0; channels];
    for piece in pieces {
        for (sum, s) in sums.iter_mut().zip(piece) {
            *sum += s;
        }
    }
    sums
}

impl<T: Real> Engine<T> {
    /// Adds a global response normalisation.
    pub(crate) fn global_response_norm(
        &mut self,
        x: usize,
        gamma: &Tensor,
        beta: &Tensor,
        eps: f64,
    ) -> Result<(usize, Arc<()>)> {
        let slot = &self.slots[x];
        let (dims, c) = (slot.dims, slot.dims[3]);
        if gamma.dims() != [c] || beta.dims() != [c] || c == 0 || slot.values.is_none() {
            bail!(
                "global response norm: {c} channels need as many values of gamma and beta, found {:?} and {:?}",
                gamma.dims(),
                beta.dims()
            )
        }
        let scales: Vec<f64> = gamma.to_dtype(DType::F64)?.to_vec1()?;
        let shifts: Vec<f64> = beta.to_dtype(DType::F64)?.to_vec1()?;
        let (image, len) = (slot.image_len(), stretch(dims));
        let mut y = Buffer::new(dims.iter().product());
        let norms: Vec<Vec<f64>> = y
            .par_chunks_mut(image.max(1))
            .enumerate()
            .map(|(i, y)| {
                let squares = y
                    .par_chunks_mut(len)
                    .enumerate()
                    .map_init(Vec::new, |scratch, (j, y)| {
                        let from = i * image + j * len;
                        read(slot, from..from + y.len(), scratch, |x| {
                            y.copy_from_slice(x)
                        });
                        products(y, y, c)
                    })
                    .collect();
                let norms: Vec<f64> = joined(squares, c).into_iter().map(f64::sqrt).collect();
                let share = 1.0 / divisor(&norms, eps);
                let scale = scales.iter().zip(&norms).map(|(w, g)| 1.0 + w * g * share);
                let shift = pattern(shifts.iter().copied());
                let finish = Transform::new(pattern(scale), shift, Activation::Identity);
                y.par_chunks_mut(len).for_each(|y| finish.apply_in_place(y));
                norms
            })
            .collect();
        let tracked = slot.tracked || gamma.track_op() || beta.track_op();
        let place = self.push(Slot::new(dims, y, tracked));
        if tracked {
            self.slots[x].readers += 1;
            let node = Response {
                x,
                y: place.0,
                gamma: self.param(gamma),
                beta: self.param(beta),
                eps,
                norms,
            };
            self.record(node);
        }
        Ok(place)
    }
}

impl Response {
    /// Writes the gradient of one image's `dx`, which holds its values before; gives Σ dy and the share in gamma's gradient.
    fn image<T: Real>(
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
        let (sums, dots) = (joined(sums, c), joined(dots, c));
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

impl<T: Real> Node<T> for Response {
    fn result(&self) -> usize {
        self.y
    }

    fn reads(&self) -> Vec<(usize, Need)> {
        vec![(self.x, Need::Rounded)]
    }

    fn backward(&self, back: &mut Back<T>) -> Result<()> {
        let Some(gradient) = back.take(self.y) else {
            back.skip(self.x);
            return Ok(());
        };
        let slot = &back.slots[self.x];
        if slot.values.is_none() {
            bail!("global response norm: its values were let go of before backward")
        }
        let (c, image, len) = (slot.dims[3], slot.image_len(), stretch(slot.dims));
        let gamma: Vec<f64> = back.params[self.gamma]
            .tensor
            .to_dtype(DType::F64)?
            .to_vec1()?;
        let mut dx = Buffer::new(slot.dims.iter().product());
        let found: Vec<[Vec<f64>; 2]> = dx
            .par_chunks_mut(image.max(1))
            .zip(gradient.values.par_chunks(image.max(1)))
            .zip(&self.norms)
            .enumerate()
            .map(|(i, ((dx, dy), norms))| {
                dx.par_chunks_mut(len)
                    .enumerate()
                    .for_each_init(Vec::new, |scratch, (j, dx)| {
                        let from = i * image + j * len;
                        read(slot, from..from + dx.len(), scratch, |x| {
                            dx.copy_from_slice(x)
                        });
                    });
                self.image(norms, &gamma, len, dy, dx)
            })
            .collect();
        let (d_beta, d_gamma): (Vec<_>, Vec<_>) = found.into_iter().map(|[b, g]| (b, g)).unzip();
        let as_param = |sums: Vec<f64>| sums.into_iter().map(T::from_f64).collect::<Vec<T>>();
        back.param(self.gamma, as_param(joined(d_gamma, c)));
        back.param(self.beta, as_param(joined(d_beta, c)));
        if back.slots[self.x].tracked {
            back.add(self.x, Arc::new(dx))
        } else {
            back.skip(self.x)
        }
        Ok(())
    }
}
