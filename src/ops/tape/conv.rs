//! Convolution with what follows it, as a step of a tape.

use super::columns::{Behind, Transform, moments, pattern, sums};
use super::dense::{self, Packed, Seen};
use super::depthwise;
use super::engine::{Back, Engine, Gradient, Node, Slot};
use super::plan::{
    Phase, Tile, flattened, input_window, output_window, phase_rows, phases, taps, tiles,
};
use super::window::Window;
use super::winograd::{self, Scratch};
use crate::ops::buffer::Buffer;
use crate::ops::geometry::{Conv2dParams, Geometry, parts};
use crate::ops::norm::{Activation, BatchMoments, Moments, Statistics};
use crate::ops::shared::{SharedMut, with_values};
use crate::ops::simd::Real;
use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// What follows a convolution's sums.
pub(crate) struct Follow<'a> {
    /// Added to the sums before the scale; only without a norm.
    pub bias: Option<&'a Tensor>,
    /// Scale and shift of each channel.
    pub gamma: Option<&'a Tensor>,
    pub beta: Option<&'a Tensor>,
    /// What is subtracted and divided by, if anything.
    pub norm: Option<(&'a Statistics, f64)>,
    pub activation: Activation,
}

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
}

/// The weight in the form the forward kernels read.
enum Weight<T> {
    Dense(Packed<T>),
    Depthwise(Vec<T>),
}

/// A tile's part of a map: read where it lies, or copied with its transformation done and zeros around it.
fn seen<'a, T: Real>(
    values: &'a [T],
    (h, w, c): (usize, usize, usize),
    at: usize,
    window: Window,
    transform: Option<&Transform<T>>,
    scratch: &'a mut Vec<T>,
) -> Seen<'a, T> {
    if transform.is_none() && window.is_rows_of(h, w) {
        let values = &values[at + window.row as usize * w * c..];
        return Seen { values, window, c };
    }
    room(scratch, window.len(c));
    window.fill((h, w, c), scratch, |range, out| {
        let source = &values[at + range.start..at + range.end];
        match transform {
            Some(t) => t.apply(source, out),
            None => out.copy_from_slice(source),
        }
    });
    Seen {
        values: scratch,
        window,
        c,
    }
}

/// Makes sure that scratch holds `len` values and a panel's slack.
fn room<T: Real>(scratch: &mut Vec<T>, len: usize) {
    if scratch.len() < len + crate::ops::micro::SLACK {
        scratch.resize(len + crate::ops::micro::SLACK, T::ZERO);
    }
}

fn to_f64(t: &Tensor, channels: usize, what: &str) -> Result<Vec<f64>> {
    if t.dims() != [channels] {
        bail!(
            "convolution: a weight of {channels} output channels needs as many values of {what}, found shape {:?}",
            t.dims()
        )
    }
    t.to_dtype(DType::F64)?.to_vec1()
}

/// Computes every tile; gives the moments of each output channel if `measure`.
fn forward<T: Real>(
    g: &Geometry,
    x: &Slot<T>,
    w: &[T],
    y: &mut Buffer<T>,
    finish: Option<&Transform<T>>,
    measure: bool,
) -> Result<Vec<Moments>> {
    let Some(values) = &x.values else {
        bail!("convolution: its input was let go of")
    };
    if winograd::fits(g) {
        return Ok(in_patches(g, x, values, w, y, finish, measure));
    }
    let weight = if g.is_depthwise() {
        Weight::Depthwise(depthwise::by_element(g, w))
    } else {
        Weight::Dense(Packed::forward(g, w))
    };
    let taps = taps(g);
    let shared = SharedMut::new(y);
    let found: Vec<Vec<Moments>> = tiles(g)
        .par_iter()
        .map_init(Vec::new, |scratch, tile| {
            let x = seen(
                values.with_slack(),
                (g.h, g.w, g.c),
                tile.image * g.in_plane() * g.c,
                input_window(g, &tile.rows),
                x.transform.as_deref(),
                scratch,
            );
            let at = tile.image * g.out_plane() * g.o;
            // SAFETY: each tile has its own rows of the output.
            let out = unsafe {
                match &weight {
                    Weight::Dense(w) => {
                        dense::forward(g, &taps, w, x, tile.rows.clone(), &shared, at);
                    }
                    Weight::Depthwise(w) => {
                        depthwise::forward(g, &taps, w, x, tile.rows.clone(), &shared, at);
                    }
                }
                shared.range(
                    at + tile.rows.start * g.ow * g.o,
                    tile.rows.len() * g.ow * g.o,
                )
            };
            if let Some(finish) = finish {
                finish.apply_in_place(out);
            }
            if measure {
                moments(out, g.o)
            } else {
                Vec::new()
            }
        })
        .collect();
    Ok(together(found, if measure { g.o } else { 0 }))
}

/// The channels' moments of all tiles, joined in order, whatever thread found which.
fn together(found: Vec<Vec<Moments>>, channels: usize) -> Vec<Moments> {
    let mut all = vec![Moments::default(); channels];
    for piece in found {
        for (channel, m) in all.iter_mut().zip(piece) {
            *channel = channel.join(m);
        }
    }
    all
}

/// [`forward`] by fewer multiplications, see [`winograd`].
fn in_patches<T: Real>(
    g: &Geometry,
    x: &Slot<T>,
    values: &[T],
    w: &[T],
    y: &mut Buffer<T>,
    finish: Option<&Transform<T>>,
    measure: bool,
) -> Vec<Moments> {
    let weight = winograd::pack(g, w, false);
    let shared = SharedMut::new(y);
    let found = winograd::ranges(g)
        .par_iter()
        .map_init(Scratch::default, |scratch, patches| {
            let mut found = Vec::new();
            winograd::forward(
                g,
                &weight,
                patches.clone(),
                scratch,
                &mut reading(g, values, x.transform.as_deref()),
                &mut |rows| {
                    if let Some(finish) = finish {
                        finish.apply_in_place(rows);
                    }
                    if measure {
                        found = moments(rows, g.o);
                    }
                },
                &mut |image, range, values| {
                    let at = image * g.out_plane() * g.o + range.start;
                    // SAFETY: each patch has its own outputs.
                    unsafe { shared.range(at, range.len()) }.copy_from_slice(values);
                },
            );
            found
        })
        .collect();
    together(found, if measure { g.o } else { 0 })
}

/// Reads stretches of a convolution's input as they are seen.
fn reading<'a, T: Real>(
    g: &'a Geometry,
    values: &'a [T],
    transform: Option<&'a Transform<T>>,
) -> impl FnMut(usize, Range<usize>, &mut [T]) + 'a {
    move |image, range, out| {
        let at = image * g.in_plane() * g.c;
        let source = &values[at + range.start..at + range.end];
        match transform {
            Some(t) => t.apply(source, out),
            None => out.copy_from_slice(source),
        }
    }
}

impl<T: Real> Engine<T> {
    /// Adds a convolution; gives the new map and, with the batch's statistics, its moments.
    pub(crate) fn conv(
        &mut self,
        x: usize,
        weight: &Tensor,
        params: Conv2dParams,
        follow: &Follow,
    ) -> Result<(usize, Arc<()>, BatchMoments)> {
        let [batch, h, w, c] = self.slots[x].dims;
        // A linear layer's weight is that of a pointwise convolution.
        let weight_dims = match *weight.dims() {
            [o, i] => vec![o, i, 1, 1],
            ref dims => dims.to_vec(),
        };
        let g = Geometry::new(&[batch, c, h, w], &weight_dims, params)?;
        let dims = [batch, g.oh, g.ow, g.o];
        let g = flattened(g);
        let ones = || vec![1.0; g.o];
        let given = |t: Option<&Tensor>, what: &str| t.map(|t| to_f64(t, g.o, what)).transpose();
        let gamma = given(follow.gamma, "gamma")?;
        let beta = given(follow.beta, "beta")?;
        let bias = given(follow.bias, "bias")?;
        let direct = bias.is_none()
            && gamma.is_none()
            && follow.norm.is_none()
            && follow.activation == Activation::Identity;
        let of_batch = matches!(follow.norm, Some((Statistics::Batch, _)));
        let track = |t: Option<&Tensor>| t.is_some_and(Tensor::track_op);
        let tracked =
            self.slots[x].tracked || weight.track_op() || track(follow.gamma) || track(follow.beta);
        let inverse = |var: &[f64], eps: f64| -> Vec<f64> {
            var.iter().map(|v| 1.0 / (v + eps).sqrt()).collect()
        };
        let transform = |mean: &[f64], inverse: &[f64]| -> Transform<T> {
            let scale: Vec<f64> = gamma
                .clone()
                .unwrap_or_else(ones)
                .iter()
                .zip(inverse)
                .map(|(g, i)| g * i)
                .collect();
            let shift = beta.clone().unwrap_or_else(|| vec![0.0; g.o]);
            let shift = shift
                .iter()
                .zip(mean)
                .zip(&scale)
                .map(|((b, m), s)| b - m * s);
            Transform::new(
                pattern(scale.iter().copied()),
                pattern(shift),
                follow.activation,
            )
        };
        let mut y = Buffer::new(dims.iter().product());
        let run = |y: &mut Buffer<T>, finish: Option<&Transform<T>>, measure| {
            with_values(weight, |w| {
                forward(&g, &self.slots[x], w, y, finish, measure)
            })
        };
        let mut found = BatchMoments::default();
        let (mean, inverse) = match follow.norm {
            // Adding a bias is subtracting a mean.
            None => match bias {
                Some(bias) => (bias.iter().map(|b| -b).collect(), ones()),
                None => (vec![0.0; g.o], ones()),
            },
            Some((Statistics::Fixed { mean, var }, eps)) => (
                to_f64(mean, g.o, "mean")?,
                inverse(&to_f64(var, g.o, "variance")?, eps),
            ),
            Some((Statistics::Batch, eps)) => {
                let moments = run(&mut y, None, true)?;
                let count = (batch * dims[1] * dims[2]) as f64;
                found = BatchMoments {
                    mean: moments.iter().map(|m| m.mean).collect(),
                    var: moments.iter().map(|m| m.m2 / count).collect(),
                    count,
                };
                (found.mean.clone(), inverse(&found.var, eps))
            }
        };
        let transform = Arc::new(transform(&mean, &inverse));
        // Where no backward pass will come, or where it does not need the sums, what follows is done while a tile is in the cache.
        let now = !of_batch && (direct || !tracked);
        if !of_batch {
            let nothing = direct && beta.is_none();
            run(&mut y, (now && !nothing).then_some(&*transform), false)?;
        }
        let centre = (!now && tracked).then(|| Arc::new(pattern(mean.iter().copied())));
        let (place, token) = self.push(Slot {
            dims,
            values: Some(Arc::new(y)),
            transform: (!now).then(|| transform.clone()),
            centre,
            tracked,
            readers: 0,
            token: Arc::default(),
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
            };
            self.nodes.push(Box::new(node));
        }
        Ok((place, token, found))
    }
}

/// What a backward pass finds beside the input's gradient: the weight's, and the sums asked for.
type Found<T> = (Option<Vec<T>>, Option<Vec<(f64, f64)>>);

/// What a part of the tiles found.
struct Share<T> {
    dw: Vec<T>,
    sums: Vec<Vec<(f64, f64)>>,
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

/// The channels' sums of all tiles, in order.
fn total(found: Vec<Vec<(f64, f64)>>, channels: usize) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0.0); channels];
    for piece in found {
        for (sum, s) in sums.iter_mut().zip(piece) {
            *sum = (sum.0 + s.0, sum.1 + s.1);
        }
    }
    sums
}

impl<T: Real> Node<T> for Conv<T> {
    fn backward(&self, back: &mut Back<T>) -> Result<()> {
        let Some(gradient) = back.take(self.y) else {
            // Nothing after it reaches the result: its input gets nothing from here.
            back.skip(self.x);
            return Ok(());
        };
        let (slots, g) = (back.slots, &self.g);
        let (x, y) = (&slots[self.x], &slots[self.y]);
        let (Some(x_values), Some(y_values)) = (&x.values, &y.values) else {
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

/// The sum of the shares, joined in order, whatever thread found which.
fn joined<T: Real>(mut shares: Vec<Vec<T>>) -> Vec<T> {
    const CHUNK: usize = 1 << 14;
    let rest = shares.split_off(shares.len().min(1));
    let mut total = shares.pop().unwrap_or_default();
    total
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(i, total)| {
            for share in &rest {
                super::columns::add(&share[i * CHUNK..][..total.len()], total);
            }
        });
    total
}

/// A weight's gradient from (O, kernel, C / groups), or (kernel, C) of a depthwise one, to candle's (O, C / groups, kernel).
fn as_stored<T: Real>(g: &Geometry, dw: Vec<T>) -> Vec<T> {
    let (k, inputs) = (g.kh * g.kw, g.c / g.p.groups);
    if k == 1 {
        return dw;
    }
    let mut out = vec![T::ZERO; dw.len()];
    if g.is_depthwise() {
        super::transpose(&dw, k, g.c, &mut out);
    } else {
        out.par_chunks_mut(k * inputs)
            .zip(dw.par_chunks(k * inputs))
            .for_each(|(out, dw)| super::transpose(dw, k, inputs, out));
    }
    out
}

/// One convolution's backward pass.
struct Backward<'a, T: Real> {
    g: &'a Geometry,
    x: &'a Slot<T>,
    x_values: &'a Buffer<T>,
    y_values: &'a Buffer<T>,
    dz: &'a Buffer<T>,
    behind: Option<&'a Behind<T>>,
    want_weight: bool,
    want_input: bool,
    accumulate: bool,
    /// Centre and transformation of the input, if the sums of its gradient are asked for.
    ask: Option<(&'a [T], &'a Transform<T>)>,
}

impl<T: Real> Backward<'_, T> {
    /// Writes the input's gradient; gives the weight's, and the sums asked for.
    fn run(&self, w: &[T], dx: &mut Buffer<T>) -> Found<T> {
        let g = self.g;
        if winograd::fits(g) {
            return self.in_patches(w, dx);
        }
        let phases = if self.want_input {
            phases(g)
        } else {
            Vec::new()
        };
        let by_element = match g.is_depthwise() {
            true => depthwise::by_element(g, w),
            false => Vec::new(),
        };
        let packed: Vec<Packed<T>> = if g.is_depthwise() {
            Vec::new()
        } else {
            phases.iter().map(|p| Packed::backward(g, w, p)).collect()
        };
        let shared = SharedMut::new(dx);
        let tiles = tiles(g);
        // Few parts where a copy of the weight's gradient for each would cost more than it helps. Never by the number of
        // threads.
        let count = match w.len() {
            0..100_000 => 16,
            100_000..600_000 => 8,
            _ => 4,
        };
        let shares: Vec<Share<T>> = parts(tiles.len(), count)
            .into_par_iter()
            .map(|range| {
                let mut scratch = [Vec::new(), Vec::new(), Vec::new()];
                let mut dw = vec![T::ZERO; if self.want_weight { w.len() } else { 0 }];
                let sums = tiles[range]
                    .iter()
                    .map(|tile| {
                        self.tile(
                            tile,
                            &phases,
                            &packed,
                            &by_element,
                            &shared,
                            &mut dw,
                            &mut scratch,
                        )
                    })
                    .collect();
                Share { dw, sums }
            })
            .collect();
        let mut sums = Vec::new();
        let mut partial = Vec::new();
        for share in shares {
            sums.extend(share.sums);
            partial.push(share.dw);
        }
        let dw = self.want_weight.then(|| as_stored(g, joined(partial)));
        (dw, self.ask.map(|_| total(sums, g.c)))
    }

    /// [`run`](Self::run) by fewer multiplications, see [`winograd`].
    fn in_patches(&self, w: &[T], dx: &mut Buffer<T>) -> Found<T> {
        let g = self.g;
        let read_dy = |image: usize, range: Range<usize>, out: &mut [T]| {
            let at = image * g.out_plane() * g.o;
            let range = at + range.start..at + range.end;
            match self.behind {
                Some(behind) => behind.apply(&self.y_values[range.clone()], &self.dz[range], out),
                None => out.copy_from_slice(&self.dz[range]),
            }
        };
        let dw = self.want_weight.then(|| {
            let len = 16 * g.o * g.c;
            let count = match len {
                0..100_000 => 16,
                100_000..600_000 => 8,
                600_000..2_000_000 => 4,
                _ => 2,
            };
            let ranges = winograd::ranges(g);
            let shares = parts(ranges.len(), count)
                .into_par_iter()
                .map(|part| {
                    let mut scratch = Scratch::default();
                    let mut du = vec![T::ZERO; len];
                    for patches in &ranges[part] {
                        winograd::backward_weight(
                            g,
                            patches.clone(),
                            &mut scratch,
                            &mut reading(g, self.x_values, self.x.transform.as_deref()),
                            &mut { read_dy },
                            &mut du,
                        );
                    }
                    du
                })
                .collect();
            winograd::weight_gradient(&joined(shares))
        });
        if self.want_input {
            let back = winograd::turned(g);
            let weight = winograd::pack(g, w, true);
            let shared = SharedMut::new(dx);
            winograd::ranges(&back).par_iter().for_each_init(
                Scratch::default,
                |scratch, patches| {
                    winograd::forward(
                        &back,
                        &weight,
                        patches.clone(),
                        scratch,
                        &mut { read_dy },
                        &mut |_| (),
                        &mut |image, range, values| {
                            let at = image * g.in_plane() * g.c + range.start;
                            // SAFETY: each patch has its own part of the input.
                            let dx = unsafe { shared.range(at, range.len()) };
                            match self.accumulate {
                                true => super::columns::add(values, dx),
                                false => dx.copy_from_slice(values),
                            }
                        },
                    );
                },
            );
        }
        (dw, None)
    }

    #[allow(clippy::too_many_arguments)]
    fn tile(
        &self,
        tile: &Tile,
        phases: &[Phase],
        packed: &[Packed<T>],
        by_element: &[T],
        shared: &SharedMut<T>,
        dw: &mut [T],
        [d_scratch, x_scratch, row]: &mut [Vec<T>; 3],
    ) -> Vec<(f64, f64)> {
        let g = self.g;
        let out_at = tile.image * g.out_plane() * g.o;
        let window = output_window(g, phases, &tile.rows);
        let plane = (g.oh, g.ow, g.o);
        let dy = match self.behind {
            None => seen(self.dz.with_slack(), plane, out_at, window, None, d_scratch),
            Some(behind) => {
                room(d_scratch, window.len(g.o));
                window.fill(plane, d_scratch, |range, out| {
                    let range = out_at + range.start..out_at + range.end;
                    behind.apply(&self.y_values[range.clone()], &self.dz[range], out);
                });
                Seen {
                    values: d_scratch,
                    window,
                    c: g.o,
                }
            }
        };
        let in_at = tile.image * g.in_plane() * g.c;
        if self.want_weight {
            let x = seen(
                self.x_values.with_slack(),
                (g.h, g.w, g.c),
                in_at,
                input_window(g, &tile.rows),
                self.x.transform.as_deref(),
                x_scratch,
            );
            if g.is_depthwise() {
                depthwise::backward_weight(g, x, dy, tile.rows.clone(), dw);
            } else {
                dense::backward_weight(g, &super::plan::taps(g), x, dy, tile.rows.clone(), dw);
            }
        }
        if !self.want_input {
            return Vec::new();
        }
        let inputs = phase_rows(g, &tile.rows);
        // SAFETY: each tile has its own rows of the input.
        unsafe {
            if g.is_depthwise() {
                depthwise::backward_input(
                    g,
                    phases,
                    by_element,
                    dy,
                    inputs.clone(),
                    shared,
                    in_at,
                    self.accumulate,
                    row,
                );
            } else {
                dense::backward_input(
                    g,
                    phases,
                    packed,
                    dy,
                    inputs.clone(),
                    shared,
                    in_at,
                    self.accumulate,
                );
            }
        }
        let Some((centre, transform)) = self.ask else {
            return Vec::new();
        };
        let from = (inputs.start * g.p.stride.0).min(g.h) * g.w * g.c;
        let to = (inputs.end * g.p.stride.0).min(g.h) * g.w * g.c;
        // SAFETY: as above, and nobody writes them any more.
        let dx = unsafe { shared.range(in_at + from, to - from) };
        sums(
            &self.x_values[in_at + from..in_at + to],
            dx,
            transform,
            centre,
            g.c,
        )
    }
}
