//! Convolution as matrix products over tiles of output columns, forward and backward, with what follows it (normalisation,
//! activation) done while a tile is in the cache.

use super::depthwise::Flat;
use super::geometry::{Geometry, Tile, parts, tiles};
use super::matmul::{Matrix, matmul, matmul_at};
use super::norm::{ChannelBackward, Moments, affine_in_place, backward_row, moments};
use super::shared::SharedMut;
use super::simd::Real;
use rayon::prelude::*;

/// What is done to each output channel once a tile of it is computed.
#[derive(Clone, Copy)]
pub(crate) enum Finish<'a, T> {
    /// Nothing.
    Leave,
    /// Measure it, for batch normalisation.
    Measure,
    /// v := clamp(v · scale + shift).
    Affine {
        scale: &'a [T],
        shift: &'a [T],
        bounds: (T, T),
    },
}

impl<T: Real> Finish<'_, T> {
    fn apply(&self, channel: usize, row: &mut [T]) -> Moments {
        match self {
            Self::Leave => Moments::default(),
            Self::Measure => moments(row),
            Self::Affine {
                scale,
                shift,
                bounds,
            } => {
                affine_in_place(row, scale[channel], shift[channel], *bounds);
                Moments::default()
            }
        }
    }
}

/// Forward: y from x and w; returns the moments of each output channel if they are measured.
pub(crate) fn forward<T: Real>(
    g: &Geometry,
    x: &[T],
    w: &[T],
    y: &mut [T],
    finish: Finish<T>,
) -> Vec<Moments> {
    let pieces: Vec<Vec<Moments>> = if g.is_depthwise() {
        depthwise_forward(g, x, w, y, finish)
    } else {
        product_forward(g, x, w, y, finish)
    };
    let mut channels = vec![Moments::default(); g.o];
    for piece in pieces {
        for (channel, m) in channels.iter_mut().zip(piece) {
            *channel = channel.join(m);
        }
    }
    channels
}

fn depthwise_forward<T: Real>(
    g: &Geometry,
    x: &[T],
    w: &[T],
    y: &mut [T],
    finish: Finish<T>,
) -> Vec<Vec<Moments>> {
    let flat = Flat::new(g);
    let k = g.kh * g.kw;
    let planes: Vec<Moments> = y
        .par_chunks_mut(g.out_plane())
        .enumerate()
        .map_init(
            || {
                (
                    vec![T::ZERO; flat.phases_len()],
                    vec![T::ZERO; flat.output_len()],
                )
            },
            |(phases, out), (plane, y)| {
                let channel = plane % g.c;
                flat.split(g, &x[plane * g.in_plane()..][..g.in_plane()], phases);
                flat.forward(phases, &w[channel * k..][..k], out);
                flat.compact(g, out, y);
                finish.apply(channel, y)
            },
        )
        .collect();
    planes.chunks(g.c).map(<[Moments]>::to_vec).collect()
}

fn product_forward<T: Real>(
    g: &Geometry,
    x: &[T],
    w: &[T],
    y: &mut [T],
    finish: Finish<T>,
) -> Vec<Vec<Moments>> {
    let (depth, plane) = (g.depth(), g.out_plane());
    let per_group = g.o / g.p.groups;
    let shared = SharedMut::new(y);
    tiles(g, 0..g.batch)
        .par_iter()
        .map_init(Vec::new, |scratch: &mut Vec<T>, tile| {
            let cols = tile.cols();
            let (gathered, result) = scratch_pair(
                scratch,
                depth * cols,
                if tile.images > 1 { per_group * cols } else { 0 },
            );
            let mut measured = Vec::with_capacity(g.o);
            for group in 0..g.p.groups {
                let input = columns(g, tile, group, x, gathered);
                let weight =
                    Matrix::rows(&w[group * per_group * depth..][..per_group * depth], depth);
                if tile.images == 1 {
                    let at = (tile.image * g.o + group * per_group) * plane + tile.at;
                    // SAFETY: the tile alone owns columns `tile.at..` of these rows; the range is asserted below, row by row.
                    unsafe {
                        let out = shared
                            .range(at, (per_group - 1) * plane + tile.len)
                            .as_mut_ptr();
                        matmul_at((per_group, cols, depth), weight, input, out, plane, false);
                    }
                    for i in 0..per_group {
                        // SAFETY: as above, one row of the tile.
                        let row = unsafe { shared.range(at + i * plane, tile.len) };
                        measured.push(finish.apply(group * per_group + i, row));
                    }
                } else {
                    matmul((per_group, cols, depth), weight, input, result, cols, false);
                    for (i, row) in result.chunks_exact_mut(cols).enumerate() {
                        let channel = group * per_group + i;
                        measured.push(finish.apply(channel, row));
                        for (j, values) in row.chunks_exact(plane).enumerate() {
                            let at = ((tile.image + j) * g.o + channel) * plane;
                            // SAFETY: a plane of an image that belongs to this tile alone.
                            unsafe { shared.range(at, plane) }.copy_from_slice(values);
                        }
                    }
                }
            }
            measured
        })
        .collect()
}

/// Two slices out of one reusable buffer.
fn scratch_pair<T: Real>(buffer: &mut Vec<T>, first: usize, second: usize) -> (&mut [T], &mut [T]) {
    if buffer.len() < first + second {
        buffer.resize(first + second, T::ZERO);
    }
    let (a, b) = buffer.split_at_mut(first);
    (a, &mut b[..second])
}

/// The input columns (depth × cols) of a tile: the input itself where the convolution is pointwise and the tile lies in one
/// image, else gathered into `scratch`.
fn columns<'a, T: Real>(
    g: &Geometry,
    tile: &Tile,
    group: usize,
    x: &'a [T],
    scratch: &'a mut [T],
) -> Matrix<'a, T> {
    let plane = g.in_plane();
    let channels = g.c / g.p.groups;
    if g.is_pointwise() && tile.images == 1 {
        return Matrix::rows(
            &x[(tile.image * g.c + group * channels) * plane + tile.at..],
            plane,
        );
    }
    let cols = tile.cols();
    for channel in 0..channels {
        for image in 0..tile.images {
            let source =
                &x[((tile.image + image) * g.c + group * channels + channel) * plane..][..plane];
            for k in 0..g.kh * g.kw {
                let row = &mut scratch[(channel * g.kh * g.kw + k) * cols + image * tile.len..]
                    [..tile.len];
                gather(g, (k / g.kw, k % g.kw), tile.at, source, row);
            }
        }
    }
    Matrix::rows(&scratch[..g.depth() * cols], cols)
}

/// Calls `f(columns of the tile, start in the plane)` for each stretch of output positions `at..at + len` whose kernel element
/// lies inside the input; the input positions are `stride` apart.
fn stretches(
    g: &Geometry,
    (ky, kx): (usize, usize),
    at: usize,
    len: usize,
    mut f: impl FnMut(std::ops::Range<usize>, usize),
) {
    let (s, t) = g.p.stride;
    let [top, _, left, _] = g.p.padding;
    let (dy, dx) = (ky * g.p.dilation.0, kx * g.p.dilation.1);
    // Output columns whose input column dx + t·ox − left lies in 0..w.
    let first = left.saturating_sub(dx).div_ceil(t);
    let last = if g.w + left > dx {
        (g.w + left - dx).div_ceil(t).min(g.ow)
    } else {
        0
    };
    for oy in at / g.ow..(at + len).div_ceil(g.ow) {
        let y = oy * s + dy;
        if y < top || y - top >= g.h {
            continue;
        }
        let from = (oy * g.ow + first).max(at);
        let to = (oy * g.ow + last).min(at + len);
        if from < to {
            let ox = from - oy * g.ow;
            f(from - at..to - at, (y - top) * g.w + ox * t + dx - left);
        }
    }
}

fn gather<T: Real>(g: &Geometry, k: (usize, usize), at: usize, plane: &[T], row: &mut [T]) {
    if !g.is_pointwise() {
        row.fill(T::ZERO);
    }
    let len = row.len();
    let step = g.p.stride.1;
    stretches(g, k, at, len, |cols, start| {
        let row = &mut row[cols];
        if step == 1 {
            row.copy_from_slice(&plane[start..start + row.len()]);
        } else {
            row.iter_mut()
                .zip(plane[start..].iter().step_by(step))
                .for_each(|(r, v)| *r = *v);
        }
    });
}

/// Adds a tile's column gradients (depth × cols) to the input's gradient.
fn scatter<T: Real>(
    g: &Geometry,
    tile: &Tile,
    group: usize,
    columns: &[T],
    dx: &mut [T],
    first_image: usize,
) {
    let plane = g.in_plane();
    let channels = g.c / g.p.groups;
    let cols = tile.cols();
    let step = g.p.stride.1;
    for channel in 0..channels {
        for image in 0..tile.images {
            let at =
                ((tile.image - first_image + image) * g.c + group * channels + channel) * plane;
            let target = &mut dx[at..at + plane];
            for k in 0..g.kh * g.kw {
                let row =
                    &columns[(channel * g.kh * g.kw + k) * cols + image * tile.len..][..tile.len];
                stretches(
                    g,
                    (k / g.kw, k % g.kw),
                    tile.at,
                    tile.len,
                    |range, start| {
                        let targets = target[start..].iter_mut().step_by(step);
                        row[range].iter().zip(targets).for_each(|(v, t)| *t += *v);
                    },
                );
            }
        }
    }
}

/// The gradient of the convolution's output, behind a normalisation and activation: computed piece by piece, never stored whole.
#[derive(Clone, Copy)]
pub(crate) struct OutputGradient<'a, T> {
    /// The convolution's output.
    pub y: &'a [T],
    /// The gradient of what follows it.
    pub dz: &'a [T],
    pub channels: &'a [ChannelBackward<T>],
    pub bounds: (T, T),
}

impl<T: Real> OutputGradient<'_, T> {
    /// Writes the gradient of the output values `at..at + out.len()`, all of one channel.
    fn write(&self, channel: usize, at: usize, out: &mut [T]) {
        let range = at..at + out.len();
        backward_row(
            &self.y[range.clone()],
            &self.dz[range],
            &self.channels[channel],
            self.bounds,
            out,
        );
    }
}

/// Backward: the weight's gradient, and the input's if `want_input`.
pub(crate) fn backward<T: Real>(
    g: &Geometry,
    x: &[T],
    w: &[T],
    dy: OutputGradient<T>,
    want_input: bool,
    want_weight: bool,
) -> (Option<Vec<T>>, Option<Vec<T>>) {
    let mut dx = vec![T::ZERO; if want_input { x.len() } else { 0 }];
    let partials = if g.is_depthwise() {
        depthwise_backward(g, x, w, dy, &mut dx, want_weight)
    } else {
        product_backward(g, x, w, dy, &mut dx, want_weight)
    };
    // Joined in a fixed order, whatever thread made which.
    let dw = want_weight.then(|| {
        let mut partials = partials.into_iter();
        let mut total = partials.next().unwrap_or_else(|| vec![T::ZERO; w.len()]);
        for partial in partials {
            total.iter_mut().zip(partial).for_each(|(t, p)| *t += p);
        }
        total
    });
    (want_input.then_some(dx), dw)
}

fn depthwise_backward<T: Real>(
    g: &Geometry,
    x: &[T],
    w: &[T],
    dy: OutputGradient<T>,
    dx: &mut [T],
    want_weight: bool,
) -> Vec<Vec<T>> {
    let flat = Flat::new(g);
    let (k, plane) = (g.kh * g.kw, g.in_plane());
    let want_input = !dx.is_empty();
    let shared = SharedMut::new(dx);
    let planes: Vec<Vec<T>> = (0..g.batch * g.c)
        .into_par_iter()
        .map_init(
            || {
                let phases = vec![T::ZERO; flat.phases_len()];
                (
                    phases.clone(),
                    phases,
                    vec![T::ZERO; flat.output_len()],
                    vec![T::ZERO; g.out_plane()],
                )
            },
            |(x_phases, dx_phases, d, row), index| {
                let channel = index % g.c;
                let w = &w[channel * k..][..k];
                dy.write(channel, index * g.out_plane(), row);
                for (i, values) in row.chunks_exact(g.ow).enumerate() {
                    d[flat.output_row(i)..][..g.ow].copy_from_slice(values);
                }
                if want_input {
                    flat.backward_input(d, w, dx_phases);
                    // SAFETY: each plane of the input's gradient belongs to one task.
                    flat.join(g, dx_phases, unsafe { shared.range(index * plane, plane) });
                }
                let mut dw = vec![T::ZERO; if want_weight { k } else { 0 }];
                if want_weight {
                    flat.split(g, &x[index * plane..][..plane], x_phases);
                    flat.backward_weight(x_phases, d, &mut dw);
                }
                dw
            },
        )
        .collect();
    planes.chunks(g.c).map(<[Vec<T>]>::concat).collect()
}

fn product_backward<T: Real>(
    g: &Geometry,
    x: &[T],
    w: &[T],
    dy: OutputGradient<T>,
    dx: &mut [T],
    want_weight: bool,
) -> Vec<Vec<T>> {
    let (depth, plane) = (g.depth(), g.out_plane());
    let per_group = g.o / g.p.groups;
    let want_input = !dx.is_empty();
    let image_len = g.c * g.in_plane();
    // Few parts where a copy of the weight's gradient for each would cost more than it helps. Never by the number of threads.
    let ranges = parts(g.batch, if w.len() > 100_000 { 4 } else { 8 });
    let shared = SharedMut::new(dx);
    ranges
        .into_par_iter()
        .map(|images| {
            let mut dw = vec![T::ZERO; if want_weight { w.len() } else { 0 }];
            let first = images.start;
            // SAFETY: each part owns the gradients of its own images.
            let dx = unsafe {
                shared.range(
                    if want_input { first * image_len } else { 0 },
                    if want_input {
                        images.len() * image_len
                    } else {
                        0
                    },
                )
            };
            let (mut d, mut gathered, mut d_columns) = (Vec::new(), Vec::new(), Vec::new());
            for tile in tiles(g, images) {
                let cols = tile.cols();
                d.resize(per_group * cols, T::ZERO);
                for group in 0..g.p.groups {
                    for (i, row) in d.chunks_exact_mut(cols).enumerate() {
                        let channel = group * per_group + i;
                        for (j, piece) in row.chunks_exact_mut(tile.len).enumerate() {
                            dy.write(
                                channel,
                                ((tile.image + j) * g.o + channel) * plane + tile.at,
                                piece,
                            );
                        }
                    }
                    let weights = group * per_group * depth..(group + 1) * per_group * depth;
                    if want_weight {
                        gathered.resize(depth * cols, T::ZERO);
                        let input = columns(g, &tile, group, x, &mut gathered);
                        let transposed = Matrix {
                            data: input.data,
                            row_stride: input.col_stride,
                            col_stride: input.row_stride,
                        };
                        let gradient = Matrix::rows(&d, cols);
                        matmul(
                            (per_group, depth, cols),
                            gradient,
                            transposed,
                            &mut dw[weights.clone()],
                            depth,
                            true,
                        );
                    }
                    if want_input {
                        let weight = Matrix::transposed(&w[weights], depth);
                        let gradient = Matrix::rows(&d, cols);
                        if g.is_pointwise() && tile.images == 1 {
                            let at = ((tile.image - first) * g.c + group * (g.c / g.p.groups))
                                * plane
                                + tile.at;
                            matmul(
                                (depth, cols, per_group),
                                weight,
                                gradient,
                                &mut dx[at..],
                                plane,
                                false,
                            );
                        } else {
                            d_columns.resize(depth * cols, T::ZERO);
                            matmul(
                                (depth, cols, per_group),
                                weight,
                                gradient,
                                &mut d_columns,
                                cols,
                                false,
                            );
                            scatter(g, &tile, group, &d_columns, dx, first);
                        }
                    }
                }
            }
            dw
        })
        .collect()
}
