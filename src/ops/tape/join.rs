//! Sums of two maps (residual connections), and the mean over all positions.

use super::columns::{add, add_scaled, pattern, scaled, total};
use super::engine::{Back, Engine, Gradient, Node, Slot};
use crate::buffer::Buffer;
use crate::simd::Real;
use candle_core::{Result, bail};
use rayon::prelude::*;
use std::sync::Arc;

/// z = x + factor · y, one factor an image.
struct Add<T> {
    x: usize,
    y: usize,
    z: usize,
    factors: Option<Vec<T>>,
}

/// Calls `f(values as readers see them)` for a stretch of a map.
pub(super) fn read<T: Real>(
    slot: &Slot<T>,
    range: std::ops::Range<usize>,
    scratch: &mut Vec<T>,
    f: impl FnOnce(&[T]),
) {
    let Some(values) = &slot.values else { return };
    let values = &values[range];
    match &slot.transform {
        None => f(values),
        Some(t) => {
            scratch.resize(values.len(), T::ZERO);
            t.apply(values, scratch);
            f(scratch);
        }
    }
}

/// Values a task works on: whole positions, never more than one image.
pub(super) fn stretch(dims: [usize; 4]) -> usize {
    let [_, h, w, c] = dims;
    let rows = (16_384 / c.max(1)).clamp(1, (h * w).max(1));
    rows * c
}

impl<T: Real> Engine<T> {
    /// Adds two maps; with `factors`, the second is multiplied by one factor an image.
    pub(crate) fn add(
        &mut self,
        x: usize,
        y: usize,
        factors: Option<Vec<f32>>,
    ) -> Result<(usize, Arc<()>)> {
        let (a, b) = (&self.slots[x], &self.slots[y]);
        if a.dims != b.dims || a.values.is_none() || b.values.is_none() {
            bail!("sum of maps: shapes {:?} and {:?} differ", a.dims, b.dims)
        }
        let factors: Option<Vec<T>> =
            factors.map(|f| f.into_iter().map(|f| T::from_f64(f64::from(f))).collect());
        let (dims, image) = (a.dims, a.image_len());
        let tracked = a.tracked || b.tracked;
        let mut z = Buffer::new(dims.iter().product());
        let len = stretch(dims);
        z.par_chunks_mut(image.max(1))
            .enumerate()
            .for_each(|(i, z)| {
                let factor = factors.as_ref().map_or(T::from_f64(1.0), |f| f[i]);
                z.par_chunks_mut(len).enumerate().for_each_init(
                    || (Vec::new(), Vec::new()),
                    |(first, second), (j, z)| {
                        let range = i * image + j * len..i * image + j * len + z.len();
                        read(a, range.clone(), first, |a| {
                            read(b, range, second, |b| add_scaled(a, b, factor, z));
                        });
                    },
                );
            });
        let place = self.push(Slot::new(dims, z, tracked));
        if tracked {
            for slot in [x, y] {
                self.slots[slot].readers += 1;
            }
            self.record(Add {
                x,
                y,
                z: place.0,
                factors,
            });
        }
        Ok(place)
    }

    /// The mean of each channel over all positions: a map of 1 × 1.
    pub(crate) fn global_avg_pool(&mut self, x: usize) -> Result<(usize, Arc<()>)> {
        let slot = &self.slots[x];
        let [batch, h, w, c] = slot.dims;
        if h * w == 0 || slot.values.is_none() {
            bail!("global average pool: expected at least one position, found {h} × {w}")
        }
        let (image, len) = (slot.image_len(), stretch(slot.dims));
        let pieces = image.div_ceil(len);
        // Few positions at a time in T, then joined in f64.
        let found: Vec<Vec<f64>> = (0..batch * pieces)
            .into_par_iter()
            .map_init(Vec::new, |scratch, i| {
                let (at, from) = (i / pieces * image, i % pieces * len);
                let mut found = Vec::new();
                read(
                    slot,
                    at + from..at + (from + len).min(image),
                    scratch,
                    |rows| {
                        found = total(rows, c);
                    },
                );
                found
            })
            .collect();
        let mut y = Buffer::new(batch * c);
        for (y, pieces) in y.chunks_mut(c.max(1)).zip(found.chunks(pieces)) {
            for (i, y) in y.iter_mut().enumerate() {
                let sum: f64 = pieces.iter().map(|p| p[i]).sum();
                *y = T::from_f64(sum / (h * w) as f64);
            }
        }
        let tracked = slot.tracked;
        let place = self.push(Slot::new([batch, 1, 1, c], y, tracked));
        if tracked {
            self.slots[x].readers += 1;
            self.record(Mean { x, y: place.0 });
        }
        Ok(place)
    }
}

impl<T: Real> Node<T> for Add<T> {
    fn result(&self) -> usize {
        self.z
    }

    fn backward(&self, back: &mut Back<T>) -> Result<()> {
        let Some(Gradient { values, .. }) = back.take(self.z) else {
            back.skip(self.x);
            back.skip(self.y);
            return Ok(());
        };
        let slots = back.slots;
        if slots[self.y].tracked {
            let scaled_values = match &self.factors {
                None => values.clone(),
                Some(factors) => {
                    let mut own = Buffer::new(values.len());
                    let image = (values.len() / factors.len().max(1)).max(1);
                    own.par_chunks_mut(image)
                        .zip(values.par_chunks(image))
                        .zip(factors)
                        .for_each(|((out, v), f)| scaled(v, *f, out));
                    Arc::new(own)
                }
            };
            back.add(self.y, scaled_values);
        }
        if slots[self.x].tracked {
            back.add(self.x, values);
        }
        Ok(())
    }
}

/// y = mean over the positions of x.
struct Mean {
    x: usize,
    y: usize,
}

impl<T: Real> Node<T> for Mean {
    fn result(&self) -> usize {
        self.y
    }

    fn backward(&self, back: &mut Back<T>) -> Result<()> {
        let Some(gradient) = back.take(self.y) else {
            back.skip(self.x);
            return Ok(());
        };
        let [_, h, w, c] = back.slots[self.x].dims;
        let share = 1.0 / (h * w) as f64;
        let len = stretch(back.slots[self.x].dims);
        let so_far = back.so_far(self.x);
        let first = so_far.is_none();
        let mut dx =
            so_far.unwrap_or_else(|| Buffer::new(back.slots[self.x].dims.iter().product()));
        dx.par_chunks_mut(h * w * c)
            .zip(gradient.values.par_chunks(c))
            .for_each(|(dx, dy)| {
                let row: Vec<T> = pattern(dy.iter().map(|d| d.to_f64() * share));
                dx.par_chunks_mut(len).for_each(|dx| {
                    for dx in dx.chunks_mut(row.len()) {
                        if first {
                            dx.copy_from_slice(&row[..dx.len()])
                        } else {
                            add(&row, dx)
                        }
                    }
                });
            });
        let values = Arc::new(dx);
        back.put(self.x, Gradient { values, sums: None });
        Ok(())
    }
}
