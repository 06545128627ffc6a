//! Convolution with what follows it.

use crate::engine::{Back, Engine, Gradient, Need, Node, Slot};
use crate::epilogue::{Constants, FusedConv, inverse, to_f64};
use crate::norm::{BatchMoments, Statistics};
use crate::step::Output;
use crate::values::{Value, with_values};
use crate::weight::packs;
use candle_core::{Result, bail};
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::columns::{
    EpilogueGrad, Transform, in_order, pattern, sums, total, total_of_pairs,
};
use hydranet_kernels::conv::{self, Fixed, Job, fits_winograd, flattened};
use hydranet_kernels::geometry::Geometry;
use hydranet_kernels::moments::Moments;
use hydranet_kernels::tasks::in_pool;
use rayon::prelude::*;
use std::ops::Add;
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
    /// 1 / √(variance + eps) of each channel, and of how many values a channel the statistics are, where they are the batch's.
    inverse: Vec<f64>,
    of_batch: Option<f64>,
    /// Patterns of the backward pass that are known already.
    transform: Arc<Transform<T>>,
    /// Whether something follows whose gradient depends on the sums.
    reads_result: bool,
}

pub(super) fn forward<T: Value>(
    engine: &mut Engine<T>,
    x: usize,
    conv: &FusedConv,
) -> Result<Output> {
    let FusedConv {
        weight,
        kept,
        epilogue,
        ..
    } = conv;
    let (slot, kept) = (&engine.slots[x], kept.as_ref());
    let g = conv.geometry(slot.dims)?;
    let dims = [g.batch, g.oh, g.ow, g.o];
    let g = flattened(g);
    let packs = packs::<T>(weight, kept, &g)?;
    let input = slot.input()?;
    let mut y = Buffer::new(dims.iter().product());
    if !slot.tracked
        && !weight.track_op()
        && let Some(fixed) = epilogue.fixed(g.o, kept)?
    {
        // No backward pass will come: what follows is done while a tile is in the cache.
        let finish = (!epilogue.is_nothing()).then_some(&*fixed);
        conv::forward(&g, input, &packs, &mut y, finish, false);
        let token = engine.push(Slot::new(dims, y, false));
        return Ok(Output {
            token,
            ..Output::default()
        });
    }
    let constants = Constants::new(epilogue, g.o)?;
    let mut of_batch = None;
    let tracked = slot.tracked || weight.track_op() || epilogue.tracked();
    let mut found = BatchMoments::default();
    let (mean, inverse) = match (constants.fixed(epilogue)?, &epilogue.norm) {
        (None, Some((Statistics::Batch, eps))) => {
            let moments = in_pool(|| conv::forward(&g, input, &packs, &mut y, None, true));
            let count = dims[..3].iter().product::<usize>() as f64;
            let own = moments.into_iter().map(|m| Moments { count, ..m });
            let (moments, moves) = match engine.shared() {
                Some(watch) => (watch.moments(own.collect())?, watch.moves_statistics()),
                None => (own.collect(), true),
            };
            // All channels have as many values.
            let count = moments.first().map_or(count, |m| m.count);
            let batch = BatchMoments {
                mean: moments.iter().map(|m| m.mean).collect(),
                var: moments.iter().map(|m| m.m2 / count).collect(),
                count,
            };
            of_batch = Some(count);
            let known = (batch.mean.clone(), inverse(&batch.var, *eps));
            if moves {
                found = batch;
            }
            known
        }
        (fixed, _) => fixed.unwrap_or_default(),
    };
    let transform = constants.transform(&mean, &inverse, epilogue.activation);
    // A backward pass that does not need the sums leaves them to be finished now.
    let now = epilogue.is_bias();
    if of_batch.is_none() {
        let fixed = now && !epilogue.is_nothing();
        let fixed = fixed.then(|| Fixed::new(transform.clone(), g.o));
        conv::forward(&g, input, &packs, &mut y, fixed.as_ref(), false);
    }
    let transform = Arc::new(transform);
    let reads_result = !now && tracked;
    let centre =
        (reads_result && !epilogue.is_shifted()).then(|| Arc::new(pattern(mean.iter().copied())));
    let mut slot = Slot::new(dims, y, tracked);
    slot.transform = (!now).then(|| transform.clone());
    slot.centre = centre;
    let mut given = engine.give(slot, &[x], |engine, y| Conv {
        g,
        x,
        y,
        weight: engine.param(weight),
        bias: epilogue.bias.as_ref().map(|t| engine.param(t)),
        gamma: epilogue.gamma.as_ref().map(|t| engine.param(t)),
        beta: epilogue.beta.as_ref().map(|t| engine.param(t)),
        inverse,
        of_batch,
        transform,
        reads_result,
    });
    given.moments = found;
    Ok(given)
}

impl<T: Value> Conv<T> {
    /// Σ d and Σ d · (y − mean) of each channel.
    fn channel_sums(&self, y: &[T], gradient: &Gradient<T>, centre: &[T]) -> Vec<(f64, f64)> {
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
        total_of_pairs(&found, channels)
    }

    /// The way from the gradient behind normalisation and activation to the one of the sums.
    fn epilogue(&self, sums: &[(f64, f64)], centre: &[T], gamma: &[f64]) -> EpilogueGrad<T> {
        let per = |f: &dyn Fn(usize) -> f64| pattern((0..self.g.o).map(f));
        // Fixed statistics do not depend on y: no second and third term.
        let share = self.of_batch.map_or(0.0, |count| 1.0 / count);
        let scale = |c: usize| gamma[c] * self.inverse[c];
        EpilogueGrad {
            transform: (*self.transform).clone(),
            mean: centre.to_vec(),
            offset: per(&|c| share * scale(c) * sums[c].0),
            slope: per(&|c| share * scale(c) * self.inverse[c].powi(2) * sums[c].1),
        }
    }
}

/// The gradient of sums behind which an activation follows and nothing else: made once, where it lies if nobody else reads it.
fn before_activation<T: Value>(
    transform: &Transform<T>,
    y: &[T],
    mut gradient: Arc<Buffer<T>>,
) -> Arc<Buffer<T>> {
    let len = (32_768 / transform.scale.len()).max(1) * transform.scale.len();
    if let Some(values) = Arc::get_mut(&mut gradient) {
        let pieces = y.par_chunks(len).zip(values.par_chunks_mut(len));
        pieces.for_each(|(y, d)| transform.backward_in_place(y, d));
        return gradient;
    }
    let mut out = Buffer::new(y.len());
    let pieces = y.par_chunks(len).zip(gradient.par_chunks(len));
    pieces
        .zip(out.par_chunks_mut(len))
        .for_each(|((y, d), out)| {
            out.copy_from_slice(d);
            transform.backward_in_place(y, out);
        });
    Arc::new(out)
}

/// The sum of each column, rows being added up in pieces of fixed length.
fn column_sums<T: Value>(rows: &[T], channels: usize) -> Vec<T> {
    let len = (32_768 / channels).max(1) * channels;
    let found: Vec<Vec<f64>> = rows
        .par_chunks(len)
        .map(|rows| total(rows, channels))
        .collect();
    let sums = in_order(&found, channels, Add::add);
    sums.into_iter().map(T::from_f64).collect()
}

impl<T: Value> Node<T> for Conv<T> {
    fn reads(&self) -> Vec<(usize, Need)> {
        let mut reads = vec![(self.x, Need::Rounded)];
        if self.reads_result {
            reads.push((self.y, Need::Rounded));
        }
        reads
    }

    fn sums(&self, gradient: &Gradient<T>, slots: &[Slot<T>]) -> Result<Option<Vec<(f64, f64)>>> {
        let y = &slots[self.y];
        match (self.of_batch, &y.values, &y.centre) {
            (Some(_), Some(values), Some(centre)) => {
                Ok(Some(self.channel_sums(values, gradient, centre)))
            }
            _ => Ok(None),
        }
    }

    fn backward(&self, mut gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let (slots, g) = (back.slots, &self.g);
        let (x, y) = (&slots[self.x], &slots[self.y]);
        let input = x.input()?;
        let nothing = Buffer::new(0);
        let y_values = match (&y.values, self.reads_result) {
            (_, false) => &nothing,
            (Some(values), true) => values,
            (None, true) => bail!("convolution: its values were freed before backward"),
        };
        let epilogue = match &y.centre {
            Some(centre) => {
                let gamma = match self.gamma {
                    Some(p) => to_f64(&back.params[p].tensor, g.o, "gamma")?,
                    None => vec![1.0; g.o],
                };
                let needs_sums = self.of_batch.is_some()
                    || [self.bias, self.gamma, self.beta]
                        .into_iter()
                        .flatten()
                        .any(|p| back.params[p].tracked);
                let sums = if needs_sums {
                    self.channel_sums(y_values, &gradient, centre)
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
                let whole = back.whole.take();
                Some(self.epilogue(whole.as_ref().unwrap_or(&sums), centre, &gamma))
            }
            None => {
                if self.reads_result {
                    let values = gradient.values;
                    gradient.values = before_activation(&self.transform, y_values, values);
                }
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
        let mut dx = so_far.unwrap_or_else(|| Buffer::new(if want_input { x.len() } else { 0 }));
        // The input's own normalisation will ask for sums of this gradient: found while a tile is in the cache, if this is
        // the last of its parts.
        let ask = match (&x.centre, &x.transform) {
            (Some(centre), Some(transform))
                if want_input && back.is_last(self.x) && !fits_winograd(g) =>
            {
                Some((centre.as_slice(), transform.as_ref()))
            }
            _ => None,
        };
        let weight = back.params[self.weight].tensor.clone();
        let (dw, found) = with_values(&weight, |w: &[T]| {
            let job = Job {
                g,
                x: input,
                y: y_values,
                dz: &gradient.values,
                epilogue: epilogue.as_ref(),
                want_weight,
                want_input,
                accumulate,
                ask,
            };
            Ok(conv::backward(&job, w, &mut dx))
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
        }
        Ok(())
    }
}
