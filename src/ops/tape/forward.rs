//! A convolution's forward pass: tiles of the output, or patches of it, one task each.

use super::columns::{Transform, moments};
use super::dense::{self, Seen};
use super::depthwise;
use super::engine::Slot;
use super::follow::Fixed;
use super::plan::{input_window, taps, tiles};
use super::product::Packed;
use super::slab;
use super::window::Window;
use super::winograd::{self, Scratch};
use crate::buffer::Buffer;
use crate::geometry::Geometry;
use crate::norm::Moments;
use crate::shared::SharedMut;
use crate::simd::Real;
use candle_core::{Result, bail};
use rayon::prelude::*;
use std::ops::Range;

/// A weight in the form the forward kernels read.
pub(crate) enum Packs<T: Real> {
    Dense(Packed<T>),
    Depthwise(Vec<T>),
    Patches(Packed<T>),
}

impl<T: Real> Packs<T> {
    pub(crate) fn new(g: &Geometry, w: &[T]) -> Self {
        if winograd::fits(g) {
            Self::Patches(winograd::pack(g, w, false))
        } else if g.is_depthwise() {
            Self::Depthwise(depthwise::by_element(g, w))
        } else {
            Self::Dense(Packed::forward(g, w))
        }
    }

    /// Whether [`new`](Self::new) would make the same form: it depends on the image's size.
    pub(crate) fn suits(&self, g: &Geometry) -> bool {
        matches!(self, Self::Patches(_)) == winograd::fits(g)
    }
}

/// A tile's part of a map: read where it lies, or copied with its transformation done and zeros around it.
pub(super) fn seen<'a, T: Real>(
    values: &'a [T],
    (h, w, c): (usize, usize, usize),
    at: usize,
    window: Window,
    transform: Option<&Transform<T>>,
    scratch: &'a mut Buffer<T>,
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
        values: scratch.with_slack(),
        window,
        c,
    }
}

/// Makes sure that scratch holds `len` values.
pub(super) fn room<T: Real>(scratch: &mut Buffer<T>, len: usize) {
    if scratch.len() < len {
        *scratch = Buffer::new(len);
    }
}

/// Computes every tile; gives the moments of each output channel if `measure`.
pub(super) fn forward<T: Real>(
    g: &Geometry,
    x: &Slot<T>,
    weight: &Packs<T>,
    y: &mut Buffer<T>,
    finish: Option<&Fixed<T>>,
    measure: bool,
) -> Result<Vec<Moments>> {
    let Some(values) = &x.values else {
        bail!("convolution: its input was let go of")
    };
    if let Packs::Patches(weight) = weight {
        let finish = finish.map(|f| &f.transform);
        return Ok(in_patches(g, x, values, weight, y, finish, measure));
    }
    let taps = taps(g);
    // Done in registers where it can be.
    let shifts = match (weight, finish) {
        (Packs::Dense(_), Some(finish)) => finish.shifts.as_ref(),
        _ => None,
    };
    let finish = finish.map(|f| &f.transform).filter(|_| shifts.is_none());
    if let Packs::Dense(weight) = weight
        && slab::fits(g)
    {
        let transform = x.transform.as_deref();
        slab::forward(g, values, transform, weight, y, shifts);
        return Ok(behind_all(g, y, finish, measure));
    }
    let shared = SharedMut::new(y);
    let found: Vec<Vec<Moments>> = tiles(g)
        .par_iter()
        .map_init(
            || Buffer::new(0),
            |scratch, tile| {
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
                    match weight {
                        Packs::Dense(w) => {
                            let rows = tile.rows.clone();
                            dense::forward(g, &taps, w, x, rows, &shared, at, shifts);
                        }
                        Packs::Depthwise(w) => {
                            depthwise::forward(g, &taps, w, x, tile.rows.clone(), &shared, at);
                        }
                        // Done above.
                        Packs::Patches(_) => {}
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
            },
        )
        .collect();
    Ok(together(found, if measure { g.o } else { 0 }))
}

/// What follows the sums of all positions: finishes them and gives their moments.
fn behind_all<T: Real>(
    g: &Geometry,
    y: &mut Buffer<T>,
    finish: Option<&Transform<T>>,
    measure: bool,
) -> Vec<Moments> {
    if finish.is_none() && !measure {
        return Vec::new();
    }
    let len = (32_768 / g.o).max(1) * g.o;
    let found = y
        .par_chunks_mut(len)
        .map(|rows| {
            if let Some(finish) = finish {
                finish.apply_in_place(rows);
            }
            if measure {
                moments(rows, g.o)
            } else {
                Vec::new()
            }
        })
        .collect();
    together(found, if measure { g.o } else { 0 })
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
    weight: &Packed<T>,
    y: &mut Buffer<T>,
    finish: Option<&Transform<T>>,
    measure: bool,
) -> Vec<Moments> {
    let shared = SharedMut::new(y);
    let ranges = winograd::ranges(g);
    // Moments are of all channels at once.
    let groups = if measure {
        vec![&*weight.panels]
    } else {
        winograd::groups(weight, ranges.len())
    };
    // What is done to the channels of each group.
    let finish: Vec<Option<Transform<T>>> = groups
        .iter()
        .map(|panels| {
            let (from, to) = (panels[0].1, panels.iter().map(|p| p.1 + p.2).max());
            finish.map(|f| f.of_channels(from..to.unwrap_or(from), g.o))
        })
        .collect();
    let tasks: Vec<_> = ranges
        .iter()
        .flat_map(|patches| {
            let groups = groups.iter().zip(&finish);
            groups.map(move |(panels, finish)| (patches, *panels, finish))
        })
        .collect();
    let found = tasks
        .into_par_iter()
        .map_init(Scratch::default, |scratch, (patches, panels, finish)| {
            let mut found = Vec::new();
            winograd::forward(
                g,
                weight,
                panels,
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
                    // SAFETY: each patch has its own outputs, and each group its own channels.
                    unsafe { shared.range(at, range.len()) }.copy_from_slice(values);
                },
            );
            found
        })
        .collect();
    together(found, if measure { g.o } else { 0 })
}

/// Reads stretches of a convolution's input as they are seen.
pub(super) fn reading<'a, T: Real>(
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
