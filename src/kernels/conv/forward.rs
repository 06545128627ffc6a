//! A convolution's forward pass: tiles of the output, or patches of it, one task each.

use super::dense;
use super::depthwise;
use super::finish::Fixed;
use super::input::Input;
use super::packs::{Pack, Packs};
use super::plan::{input_window, taps, tiles};
use super::product::Packed;
use super::seen::Seen;
use super::slab;
use super::winograd::{self, Scratch, Source};
use crate::buffer::Buffer;
use crate::columns::{Transform, in_order, moments};
use crate::geometry::Geometry;
use crate::moments::Moments;
use crate::real::Real;
use crate::shared::SharedMut;
use rayon::prelude::*;

/// Computes every tile; gives the moments of each output channel if `measure`.
pub fn forward<T: Real>(
    g: &Geometry,
    x: Input<T>,
    Packs(weight): &Packs<T>,
    y: &mut Buffer<T>,
    finish: Option<&Fixed<T>>,
    measure: bool,
) -> Vec<Moments> {
    if let Pack::Patches(weight) = weight {
        let finish = finish.map(|f| &f.transform);
        return in_patches(g, x, weight, y, finish, measure);
    }
    let taps = taps(g);
    // Products do it themselves.
    let (shifts, finish) = match weight {
        Pack::Dense(_) => (finish.map(|f| &f.shifts), None),
        _ => (None, finish.map(|f| &f.transform)),
    };
    if let Pack::Dense(weight) = weight
        && slab::fits(g)
    {
        slab::forward(g, x, weight, y, shifts);
        return measured(g, y, measure);
    }
    let shared = SharedMut::new(y);
    let found: Vec<Vec<Moments>> = tiles(g)
        .par_iter()
        .map_init(
            || Buffer::new(0),
            |scratch, tile| {
                let x = Seen::of(
                    x,
                    (g.h, g.w, g.c),
                    tile.image * g.in_plane() * g.c,
                    input_window(g, &tile.rows),
                    scratch,
                );
                let at = tile.image * g.out_plane() * g.o;
                // SAFETY: each tile has its own rows of the output.
                let out = unsafe {
                    match weight {
                        Pack::Dense(w) => {
                            let rows = tile.rows.clone();
                            dense::forward(g, &taps, w, x, rows, &shared, at, shifts);
                        }
                        Pack::Depthwise(w) => {
                            depthwise::forward(g, &taps, w, x, tile.rows.clone(), &shared, at);
                        }
                        // Done above.
                        Pack::Patches(_) => {}
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
    in_order(&found, if measure { g.o } else { 0 }, Moments::join)
}

/// The moments of each channel if `measure`.
fn measured<T: Real>(g: &Geometry, y: &Buffer<T>, measure: bool) -> Vec<Moments> {
    if !measure {
        return Vec::new();
    }
    let len = (32_768 / g.o).max(1) * g.o;
    let found: Vec<_> = y.par_chunks(len).map(|rows| moments(rows, g.o)).collect();
    in_order(&found, g.o, Moments::join)
}

/// [`forward`] by fewer multiplications, see [`winograd`].
fn in_patches<T: Real>(
    g: &Geometry,
    x: Input<T>,
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
    let source = Source {
        lying: x.lying(),
        copy: &|range, out| x.copy(range, out),
    };
    let found: Vec<_> = tasks
        .into_par_iter()
        .map_init(Scratch::default, |scratch, (patches, panels, finish)| {
            let mut found = Vec::new();
            winograd::forward(
                g,
                weight,
                panels,
                patches.clone(),
                scratch,
                source,
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
    in_order(&found, if measure { g.o } else { 0 }, Moments::join)
}
