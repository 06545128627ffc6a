//! Convolution with what follows it, as a step of a tape.

use super::backward::{Backward, total};
use super::columns::{Behind, Transform, pattern, sums};
use super::engine::{Back, Engine, Gradient, Need, Node, Slot};
use super::follow::{Constants, Fixed, Follow, inverse, to_f64};
use super::forward::forward;
use super::plan::flattened;
use super::weight::{ConvWeight, packs};
use super::winograd;
use crate::buffer::Buffer;
use crate::geometry::{Conv2dParams, Geometry};
use crate::norm::{BatchMoments, Statistics};
use crate::shared::with_values;
use crate::simd::Real;
use candle_core::{Result, bail};
use rayon::prelude::*;
use std::sync::Arc;

/// A convolution of the tape.
struct Conv<T> {
    g: Geometry,
    x: usize,
    y: usize,
    weight: usize,
    bias: Option<usize>,
    gamma: Option<usize>,
    beta: Option<usize>,
    /// 1 / √(variance + eps) of each channel, and whether the statistics are the batch's.
    inverse: Vec<f64>,
    of_batch: bool,
    /// Patterns of the backward pass that are known already.
    transform: Arc<Transform<T>>,
    /// Whether something follows whose gradient depends on the sums.
    reads_result: bool,
}

impl<T: Real> Engine<T> {
    /// Adds a convolution; gives the new map and, with the batch's statistics, its moments.
    pub(crate) fn conv(
        &mut self,
        x: usize,
        weight: &dyn ConvWeight,
        params: Conv2dParams,
        follow: &Follow,
    ) -> Result<(usize, Arc<()>, BatchMoments)> {
        let (weight, kept) = (weight.tensor(), weight.kept());
        let [batch, h, w, c] = self.slots[x].dims;
        // A linear layer's weight is that of a pointwise convolution.
        let weight_dims = match *weight.dims() {
            [o, i] => vec![o, i, 1, 1],
            ref dims => dims.to_vec(),
        };
        let g = Geometry::new(&[batch, c, h, w], &weight_dims, params)?;
        let dims = [batch, g.oh, g.ow, g.o];
        let g = flattened(g);
        let packs = packs::<T>(weight, kept, &g)?;
        let mut y = Buffer::new(dims.iter().product());
        if !self.slots[x].tracked
            && !weight.track_op()
            && let Some(fixed) = follow.fixed(g.o, kept)?
        {
            // No backward pass will come: what follows is done while a tile is in the cache.
            let finish = (!follow.is_nothing()).then_some(&*fixed);
            forward(&g, &self.slots[x], &packs, &mut y, finish, false)?;
            let (place, token) = self.push(Slot::new(dims, y, false));
            return Ok((place, token, BatchMoments::default()));
        }
        let constants = Constants::new(follow, g.o)?;
        let of_batch = matches!(follow.norm, Some((Statistics::Batch, _)));
        let tracked = self.slots[x].tracked || weight.track_op() || follow.tracked();
        let mut found = BatchMoments::default();
        let (mean, inverse) = match (constants.fixed(follow)?, follow.norm) {
            (None, Some((Statistics::Batch, eps))) => {
                let moments = forward(&g, &self.slots[x], &packs, &mut y, None, true)?;
                let count = (batch * dims[1] * dims[2]) as f64;
                found = BatchMoments {
                    mean: moments.iter().map(|m| m.mean).collect(),
                    var: moments.iter().map(|m| m.m2 / count).collect(),
                    count,
                };
                (found.mean.clone(), inverse(&found.var, eps))
            }
            (fixed, _) => fixed.unwrap_or_default(),
        };
        let fixed = Fixed::new(constants.transform(&mean, &inverse, follow.activation), g.o);
        // A backward pass that does not need the sums leaves them to be finished now.
        let now = follow.is_bias();
        if !of_batch {
            let finish = (now && !follow.is_nothing()).then_some(&fixed);
            forward(&g, &self.slots[x], &packs, &mut y, finish, false)?;
        }
        let transform = Arc::new(fixed.transform);
        let centre = (!now && tracked).then(|| Arc::new(pattern(mean.iter().copied())));
        let reads_result = centre.is_some();
        let (place, token) = self.push(Slot {
            transform: (!now).then(|| transform.clone()),
            centre,
            ..Slot::new(dims, y, tracked)
        });
        if tracked {
            self.slots[x].readers += 1;
            let node = Conv {
                g,
                x,
                y: place,
                weight: self.param(weight),
                bias: follow.bias.map(|t| self.param(t)),
                gamma: follow.gamma.map(|t| self.param(t)),
                beta: follow.beta.map(|t| self.param(t)),
                inverse,
                of_batch,
                transform,
                reads_result,
            };
            self.record(node);
        }
        Ok((place, token, found))
    }
}

impl<T: Real> Conv<T> {
    /// Σ d and Σ d · (y − mean) of each channel.
    fn sums(&self, y: &[T], gradient: &Gradient<T>, centre: &[T]) -> Vec<(f64, f64)> {
        if let Some(sums) = &gradient.sums {
            return sums.clone();
        }
        let channels = self.g.o;
        let len = (32_768 / channels).max(1) * channels;
        let found: Vec<Vec<(f64, f64)>> = y
            .par_chunks(len)
            .zip(gradient.values.par_chunks(len))
            .map(|(y, dz)| sums(y, dz, &self.transform, centre, channels))
            .collect();
        total(found, channels)
    }

    /// The way from the gradient behind normalisation and activation to the one of the sums.
    fn behind(&self, sums: &[(f64, f64)], centre: &Arc<Vec<T>>, gamma: &[f64]) -> Behind<T> {
        let positions = self.g.batch * self.g.out_plane();
        let per = |f: &dyn Fn(usize) -> f64| pattern((0..self.g.o).map(f));
        // Fixed statistics do not depend on y: no second and third term.
        let share = if self.of_batch {
            1.0 / positions as f64
        } else {
            0.0
        };
        let scale = |c: usize| gamma[c] * self.inverse[c];
        Behind {
            transform: (*self.transform).clone(),
            mean: centre.to_vec(),
            offset: per(&|c| share * scale(c) * sums[c].0),
            slope: per(&|c| share * scale(c) * self.inverse[c].powi(2) * sums[c].1),
        }
    }
}

/// The sum of each column, rows being added up in stretches of fixed length.
fn column_sums<T: Real>(rows: &[T], channels: usize) -> Vec<T> {
    let len = (32_768 / channels).max(1) * channels;
    let found: Vec<Vec<f64>> = rows
        .par_chunks(len)
        .map(|rows| super::columns::total(rows, channels))
        .collect();
    let mut sums = vec![0.0; channels];
    for piece in found {
        for (sum, s) in sums.iter_mut().zip(piece) {
            *sum += s;
        }
    }
    sums.into_iter().map(T::from_f64).collect()
}

impl<T: Real> Node<T> for Conv<T> {
    fn result(&self) -> usize {
        self.y
    }

    fn reads(&self) -> Vec<(usize, Need)> {
        let mut reads = vec![(self.x, Need::Rounded)];
        if self.reads_result {
            reads.push((self.y, Need::Rounded));
        }
        reads
    }

    fn backward(&self, back: &mut Back<T>) -> Result<()> {
        let Some(gradient) = back.take(self.y) else {
            // Nothing after it reaches the result: its input gets nothing from here.
            back.skip(self.x);
            return Ok(());
        };
        let (slots, g) = (back.slots, &self.g);
        let (x, y) = (&slots[self.x], &slots[self.y]);
        let nothing = Buffer::new(0);
        let (Some(x_values), Some(y_values)) = (
            &x.values,
            if self.reads_result {
                y.values.as_deref()
            } else {
                Some(&nothing)
            },
        ) else {
            bail!("convolution: its values were let go of before backward")
        };
        let behind = match &y.centre {
            Some(centre) => {
                let gamma = match self.gamma {
                    Some(p) => to_f64(&back.params[p].tensor, g.o, "gamma")?,
                    None => vec![1.0; g.o],
                };
                let needs_sums = self.of_batch
                    || [self.bias, self.gamma, self.beta]
                        .into_iter()
                        .flatten()
                        .any(|p| back.params[p].tracked);
                let sums = if needs_sums {
                    self.sums(y_values, &gradient, centre)
                } else {
                    vec![(0.0, 0.0); g.o]
                };
                for (param, values) in [
                    (
                        self.gamma,
                        (0..g.o)
                            .map(|c| T::from_f64(sums[c].1 * self.inverse[c]))
                            .collect::<Vec<_>>(),
                    ),
                    (self.beta, sums.iter().map(|s| T::from_f64(s.0)).collect()),
                    (
                        self.bias,
                        (0..g.o)
                            .map(|c| T::from_f64(gamma[c] * sums[c].0))
                            .collect(),
                    ),
                ] {
                    if let Some(param) = param {
                        back.param(param, values);
                    }
                }
                Some(self.behind(&sums, centre, &gamma))
            }
            None => {
                if let Some(beta) = self.beta
                    && back.params[beta].tracked
                {
                    back.param(beta, column_sums(&gradient.values, g.o));
                }
                None
            }
        };
        let want_weight = back.params[self.weight].tracked;
        let want_input = x.tracked;
        let so_far = back.so_far(self.x);
        let accumulate = so_far.is_some();
        let mut dx = so_far.unwrap_or_else(|| {
            Buffer::new(if want_input {
                x.dims.iter().product()
            } else {
                0
            })
        });
        // The input's own normalisation will ask for sums of this gradient: found while a tile is in the cache, if this is
        // the last of its parts.
        let ask = match (&x.centre, &x.transform) {
            (Some(centre), Some(transform))
                if want_input && back.is_last(self.x) && !winograd::fits(g) =>
            {
                Some((centre.as_slice(), transform.as_ref()))
            }
            _ => None,
        };
        let weight = back.params[self.weight].tensor.clone();
        let (dw, found) = with_values(&weight, |w: &[T]| {
            let job = Backward {
                g,
                x,
                x_values,
                y_values,
                dz: &gradient.values,
                behind: behind.as_ref(),
                want_weight,
                want_input,
                accumulate,
                ask,
            };
            Ok(job.run(w, &mut dx))
        })?;
        if let Some(dw) = dw {
            back.param(self.weight, dw);
        }
        if want_input {
            back.put(
                self.x,
                Gradient {
                    values: Arc::new(dx),
                    sums: found,
                },
            );
        } else {
            back.skip(self.x);
        }
        Ok(())
    }
}
