//! A convolution's backward pass: tiles of the output, or patches of it, a part of them for each task.

use super::dense;
use super::depthwise;
use super::job::{Found, Job};
use super::plan::{Phase, Tile, input_window, output_window, phase_rows, phases, taps, tiles};
use super::product::Packed;
use super::seen::Seen;
use super::slab;
use super::winograd::{self, Scratch, Source};
use crate::buffer::Buffer;
use crate::columns::{add, sums, total_of_pairs};
use crate::geometry::Geometry;
use crate::real::Real;
use crate::shared::SharedMut;
use crate::tasks::parts;
use crate::transpose::transpose;
use rayon::prelude::*;

/// What a part of the tiles found.
struct Share<T: Real> {
    dw: Buffer<T>,
    sums: Vec<Vec<(f64, f64)>>,
}

/// Writes the input's gradient; gives the weight's, and the sums asked for. `w` is the weight as it is stored.
pub fn backward<T: Real>(job: &Job<T>, w: &[T], dx: &mut Buffer<T>) -> Found<T> {
    let g = job.g;
    if winograd::fits(g) {
        return job.in_patches(w, dx);
    }
    if slab::fits(g) {
        let dw = slab::backward(job, w, dx);
        return (dw.map(|dw| as_stored(g, &dw)), job.asked(dx));
    }
    job.in_tiles(w, dx)
}

impl<T: Real> Job<'_, T> {
    /// [`backward`] tile by tile.
    fn in_tiles(&self, w: &[T], dx: &mut Buffer<T>) -> Found<T> {
        let g = self.g;
        let phases = if self.want_input {
            phases(g)
        } else {
            Vec::new()
        };
        let by_element = if g.is_depthwise() {
            depthwise::by_element(g, w)
        } else {
            Vec::new()
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
                let mut scratch = [(); 2].map(|()| Buffer::new(0));
                let mut dw = zeros(if self.want_weight { w.len() } else { 0 });
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
        let dw = self.want_weight.then(|| as_stored(g, &joined(partial)));
        (dw, self.ask.map(|_| total_of_pairs(&sums, g.c)))
    }

    /// The sums asked for, of a gradient that is whole.
    fn asked(&self, dx: &Buffer<T>) -> Option<Vec<(f64, f64)>> {
        let (centre, transform) = self.ask?;
        let channels = self.g.c;
        let len = (32_768 / channels).max(1) * channels;
        let found: Vec<_> = self
            .x
            .values
            .par_chunks(len)
            .zip(dx.par_chunks(len))
            .map(|(x, dx)| sums(x, dx, transform, centre, channels))
            .collect();
        Some(total_of_pairs(&found, channels))
    }

    /// [`backward`] by fewer multiplications, see [`winograd`].
    fn in_patches(&self, w: &[T], dx: &mut Buffer<T>) -> Found<T> {
        let g = self.g;
        let x = Source {
            lying: self.x.lying(),
            copy: &|range, out| self.x.copy(range, out),
        };
        let dy = Source {
            lying: self.epilogue.is_none().then_some(self.dz),
            copy: &|range, out| self.copy_gradient(range, out),
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
                    let mut du = Buffer::new(len);
                    let first = part.start;
                    for i in part {
                        winograd::backward_weight(
                            g,
                            ranges[i].clone(),
                            i > first,
                            &mut scratch,
                            x,
                            dy,
                            &mut du,
                        );
                    }
                    du
                })
                .collect();
            winograd::weight_gradient(g, &joined(shares))
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
                        &weight.panels,
                        patches.clone(),
                        scratch,
                        dy,
                        &mut |_| (),
                        &mut |image, range, values| {
                            let at = image * g.in_plane() * g.c + range.start;
                            // SAFETY: each patch has its own part of the input.
                            let dx = unsafe { shared.range(at, range.len()) };
                            if self.accumulate {
                                add(values, dx)
                            } else {
                                dx.copy_from_slice(values)
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
        [d_scratch, x_scratch]: &mut [Buffer<T>; 2],
    ) -> Vec<(f64, f64)> {
        let g = self.g;
        let out_at = tile.image * g.out_plane() * g.o;
        let window = output_window(g, phases, &tile.rows);
        let lying = self.epilogue.is_none().then_some(self.dz);
        let plane = (g.oh, g.ow, g.o);
        let dy = Seen::read(lying, plane, out_at, window, d_scratch, |range, out| {
            self.copy_gradient(range, out);
        });
        let in_at = tile.image * g.in_plane() * g.c;
        if self.want_weight {
            let plane = (g.h, g.w, g.c);
            let x = Seen::of(self.x, plane, in_at, input_window(g, &tile.rows), x_scratch);
            if g.is_depthwise() {
                depthwise::backward_weight(g, &taps(g), x, dy, tile.rows.clone(), dw);
            } else {
                dense::backward_weight(g, &taps(g), x, dy, tile.rows.clone(), dw);
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
            &self.x.values[in_at + from..in_at + to],
            dx,
            transform,
            centre,
            g.c,
        )
    }
}

/// A buffer of zeros.
fn zeros<T: Real>(len: usize) -> Buffer<T> {
    let mut buffer = Buffer::new(len);
    buffer.fill(T::ZERO);
    buffer
}

/// The sum of the shares, joined in order, whatever thread found which.
fn joined<T: Real>(mut shares: Vec<Buffer<T>>) -> Buffer<T> {
    const CHUNK: usize = 1 << 14;
    let rest = shares.split_off(shares.len().min(1));
    let mut total = shares.pop().unwrap_or_else(|| Buffer::new(0));
    total
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(i, total)| {
            for share in &rest {
                add(&share[i * CHUNK..][..total.len()], total);
            }
        });
    total
}

/// A weight's gradient from (O, kernel, C / groups), or (kernel, C) of a depthwise one, to candle's (O, C / groups, kernel).
fn as_stored<T: Real>(g: &Geometry, dw: &[T]) -> Vec<T> {
    let (k, inputs) = (g.kh * g.kw, g.c / g.p.groups);
    if k == 1 {
        return dw.to_vec();
    }
    let mut out = vec![T::ZERO; dw.len()];
    if g.is_depthwise() {
        transpose(dw, k, g.c, &mut out);
    } else {
        out.par_chunks_mut(k * inputs)
            .zip(dw.par_chunks(k * inputs))
            .for_each(|(out, dw)| transpose(dw, k, inputs, out));
    }
    out
}
