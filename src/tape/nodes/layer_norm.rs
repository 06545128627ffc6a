//! Layer normalisation over the channels of each position.

use crate::engine::{Back, Engine, Gradient, Need, Node, Slot, piece};
use crate::step::{NormStep, Output};
use crate::values::{Value, with_values};
use candle_core::Result;
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::columns::add;
use hydranet_kernels::norm_rows::{RowMoments, backward_rows, forward_rows};
use rayon::prelude::*;
use std::sync::Arc;

struct LayerNorm<T> {
    x: usize,
    gamma: usize,
    beta: usize,
    /// Of each row: mean and 1 / √(variance + eps).
    means: Vec<T>,
    inverses: Vec<T>,
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
    let (dims, c, input) = (slot.dims, slot.dims[3], slot.input()?);
    let rows = dims[..3].iter().product::<usize>();
    let mut y = Buffer::new(rows * c);
    let (mut means, mut inverses) = (vec![T::ZERO; rows], vec![T::ZERO; rows]);
    let (len, eps) = (piece(dims), T::from_f64(eps));
    with_values(gamma, |gamma: &[T]| {
        with_values(beta, |beta: &[T]| {
            y.par_chunks_mut(len)
                .zip(means.par_chunks_mut(len / c))
                .zip(inverses.par_chunks_mut(len / c))
                .enumerate()
                .for_each_init(Vec::new, |scratch, (i, ((y, means), inverses))| {
                    input.read(i * len..i * len + y.len(), scratch, |x| {
                        forward_rows(x, gamma, beta, eps, y, means, inverses);
                    });
                });
            Ok(())
        })
    })?;
    let tracked = slot.tracked || gamma.track_op() || beta.track_op();
    let slot = Slot::new(dims, y, tracked);
    Ok(engine.give(slot, &[x], |engine, _| LayerNorm {
        x,
        gamma: engine.param(gamma),
        beta: engine.param(beta),
        means,
        inverses,
    }))
}

impl<T: Value> Node<T> for LayerNorm<T> {
    fn reads(&self) -> Vec<(usize, Need)> {
        vec![(self.x, Need::Rounded)]
    }

    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let slot = &back.slots[self.x];
        let (c, len, input) = (slot.dims[3], piece(slot.dims), slot.input()?);
        let mut dx = Buffer::new(slot.len());
        let gamma = &back.params[self.gamma].tensor;
        let partial: Vec<(Vec<T>, Vec<T>)> = with_values(gamma, |gamma: &[T]| {
            Ok(dx
                .par_chunks_mut(len)
                .enumerate()
                .map_init(Vec::new, |scratch, (i, dx)| {
                    let range = i * len..i * len + dx.len();
                    let rows = range.start / c..range.end / c;
                    let (mut d_gamma, mut d_beta) = (vec![T::ZERO; c], vec![T::ZERO; c]);
                    input.read(range.clone(), scratch, |x| {
                        let moments = RowMoments {
                            means: &self.means[rows.clone()],
                            inverses: &self.inverses[rows],
                        };
                        let dy = &gradient.values[range];
                        backward_rows(x, dy, gamma, &moments, dx, &mut d_gamma, &mut d_beta);
                    });
                    (d_gamma, d_beta)
                })
                .collect())
        })?;
        let (mut d_gamma, mut d_beta) = (vec![T::ZERO; c], vec![T::ZERO; c]);
        for (g, b) in partial {
            add(&g, &mut d_gamma);
            add(&b, &mut d_beta);
        }
        back.param(self.gamma, d_gamma);
        back.param(self.beta, d_beta);
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
