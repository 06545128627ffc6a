//! Steps of a tape whose rows, the channels of one position, are worked on whole: layer normalisation and activations.

use super::columns::{Behind, Transform, pattern};
use super::engine::{Back, Engine, Need, Node, Slot};
use super::join::{read, stretch};
use crate::buffer::Buffer;
use crate::layer_norm::Moments;
use crate::norm::Activation;
use crate::norm_rows::{backward_rows, forward_rows};
use crate::shared::{SharedMut, as_uninit, with_values};
use crate::simd::Real;
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use std::sync::Arc;

struct LayerNorm<T> {
    x: usize,
    y: usize,
    gamma: usize,
    beta: usize,
    /// Of each row: mean and 1 / √(variance + eps).
    means: Vec<T>,
    inverses: Vec<T>,
}

impl<T: Real> Engine<T> {
    /// Adds a layer normalisation over the channels.
    pub(crate) fn layer_norm(
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
                "layer norm: {c} channels need as many values of gamma and beta, found {:?} and {:?}",
                gamma.dims(),
                beta.dims()
            )
        }
        let tracked = slot.tracked || gamma.track_op() || beta.track_op();
        let rows = dims[..3].iter().product::<usize>();
        let mut y = Buffer::new(rows * c);
        let (mut means, mut inverses) = (vec![T::ZERO; rows], vec![T::ZERO; rows]);
        let len = stretch(dims);
        with_values(gamma, |gamma: &[T]| {
            with_values(beta, |beta: &[T]| {
                y.par_chunks_mut(len)
                    .zip(means.par_chunks_mut(len / c))
                    .zip(inverses.par_chunks_mut(len / c))
                    .enumerate()
                    .for_each_init(Vec::new, |scratch, (i, ((y, means), inverses))| {
                        read(slot, i * len..i * len + y.len(), scratch, |x| {
                            let eps = T::from_f64(eps);
                            // SAFETY: `forward_rows` writes whole values.
                            let y = unsafe { as_uninit(y) };
                            forward_rows(x, gamma, beta, eps, y, means, inverses);
                        });
                    });
                Ok(())
            })
        })?;
        let place = self.push(Slot::new(dims, y, tracked));
        if tracked {
            self.slots[x].readers += 1;
            let node = LayerNorm {
                x,
                y: place.0,
                gamma: self.param(gamma),
                beta: self.param(beta),
                means,
                inverses,
            };
            self.record(node);
        }
        Ok(place)
    }

    /// Adds an activation, done whenever the map is read.
    pub(crate) fn activation(
        &mut self,
        x: usize,
        activation: Activation,
    ) -> Result<(usize, Arc<()>)> {
        let slot = &self.slots[x];
        let (dims, tracked, channels) = (slot.dims, slot.tracked, slot.dims[3]);
        let Some(values) = slot.values.clone() else {
            bail!("activation: its input was let go of")
        };
        let constant = |v: f64| pattern(std::iter::repeat_n(v, channels));
        let transform = Transform::new(constant(1.0), constant(0.0), activation);
        // What is done already to the values when they are read has to be done before.
        let values = match &slot.transform {
            None => values,
            Some(_) => {
                let mut y = Buffer::new(values.len());
                let len = stretch(dims);
                y.par_chunks_mut(len)
                    .enumerate()
                    .for_each_init(Vec::new, |scratch, (i, y)| {
                        read(slot, i * len..i * len + y.len(), scratch, |x| {
                            y.copy_from_slice(x)
                        });
                    });
                Arc::new(y)
            }
        };
        let place = self.push(Slot {
            transform: Some(Arc::new(transform.clone())),
            ..Slot::sharing(dims, values, tracked)
        });
        if tracked {
            self.slots[x].readers += 1;
            self.record(Curve {
                x,
                y: place.0,
                behind: Behind {
                    transform,
                    mean: constant(0.0),
                    offset: constant(0.0),
                    slope: constant(0.0),
                },
            });
        }
        Ok(place)
    }
}

impl<T: Real> Node<T> for LayerNorm<T> {
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
        let (c, len) = (slot.dims[3], stretch(slot.dims));
        let total = slot.dims.iter().product::<usize>();
        let mut dx = Buffer::new(total);
        let gamma = back.params[self.gamma].tensor.clone();
        let partial: Vec<(Vec<T>, Vec<T>)> = with_values(&gamma, |gamma: &[T]| {
            let shared = SharedMut::new(&mut dx);
            Ok((0..total.div_ceil(len))
                .into_par_iter()
                .map_init(Vec::new, |scratch, i| {
                    let range = i * len..((i + 1) * len).min(total);
                    let rows = range.start / c..range.end / c;
                    let (mut d_gamma, mut d_beta) = (vec![T::ZERO; c], vec![T::ZERO; c]);
                    // SAFETY: each task has its own rows.
                    let dx = unsafe { shared.range(range.start, range.len()) };
                    read(slot, range.clone(), scratch, |x| {
                        let moments = Moments {
                            means: &self.means[rows.clone()],
                            inverses: &self.inverses[rows],
                        };
                        let dy = &gradient.values[range];
                        // SAFETY: `backward_rows` writes whole values.
                        let dx = unsafe { as_uninit(dx) };
                        backward_rows(x, dy, gamma, &moments, dx, &mut d_gamma, &mut d_beta);
                    });
                    (d_gamma, d_beta)
                })
                .collect())
        })?;
        let (mut d_gamma, mut d_beta) = (vec![T::ZERO; c], vec![T::ZERO; c]);
        for (g, b) in partial {
            super::columns::add(&g, &mut d_gamma);
            super::columns::add(&b, &mut d_beta);
        }
        back.param(self.gamma, d_gamma);
        back.param(self.beta, d_beta);
        if back.slots[self.x].tracked {
            back.add(self.x, Arc::new(dx))
        } else {
            back.skip(self.x)
        }
        Ok(())
    }
}

/// An activation.
struct Curve<T> {
    x: usize,
    y: usize,
    behind: Behind<T>,
}

impl<T: Real> Node<T> for Curve<T> {
    fn result(&self) -> usize {
        self.y
    }

    fn reads(&self) -> Vec<(usize, Need)> {
        vec![(self.y, Need::Rounded)]
    }

    fn backward(&self, back: &mut Back<T>) -> Result<()> {
        let Some(gradient) = back.take(self.y) else {
            back.skip(self.x);
            return Ok(());
        };
        let slot = &back.slots[self.y];
        let Some(values) = &slot.values else {
            bail!("activation: its values were let go of before backward")
        };
        let mut dx = Buffer::new(values.len());
        let len = stretch(slot.dims);
        dx.par_chunks_mut(len)
            .zip(values.par_chunks(len))
            .zip(gradient.values.par_chunks(len))
            .for_each(|((dx, y), dz)| self.behind.apply(y, dz, dx));
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
