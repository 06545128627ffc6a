//! Channels of each image scaled by factors of its own: the last step of squeeze-and-excitation.

use super::columns::{multiply, pattern, products};
use super::engine::{Back, Engine, Gradient, Need, Node, Slot};
use super::join::{read, stretch};
use crate::buffer::Buffer;
use crate::simd::Real;
use candle_core::{Result, bail};
use rayon::prelude::*;
use std::sync::Arc;

/// z = x · gate, one factor for each channel of each image.
struct Gate {
    x: usize,
    gate: usize,
    z: usize,
}

/// What readers see of a map of 1 × 1.
fn factors<T: Real>(slot: &Slot<T>) -> Vec<T> {
    let mut out = Vec::new();
    let mut scratch = Vec::new();
    let image = slot.image_len().max(1);
    for i in 0..slot.dims[0] {
        read(slot, i * image..(i + 1) * image, &mut scratch, |row| {
            out.extend_from_slice(row);
        });
    }
    out
}

/// `f(piece's first value, piece, the image's factors as a pattern)` for all pieces of a map.
fn each_piece<T: Real>(
    values: &mut [T],
    dims: [usize; 4],
    factors: &[T],
    f: impl Fn(usize, &mut [T], &[T], &mut Vec<T>) + Sync,
) {
    let [_, h, w, c] = dims;
    let (image, len) = ((h * w * c).max(1), stretch(dims));
    values
        .par_chunks_mut(image)
        .zip(factors.par_chunks(c.max(1)))
        .enumerate()
        .for_each(|(i, (values, factors))| {
            let factors = pattern(factors.iter().map(|f| f.to_f64()));
            values
                .par_chunks_mut(len)
                .enumerate()
                .for_each_init(Vec::new, |scratch, (j, values)| {
                    f(i * image + j * len, values, &factors, scratch)
                });
        });
}

impl<T: Real> Engine<T> {
    /// Adds a scaling of each image's channels. `last`: nobody outside will read `x` again.
    pub(crate) fn scale_channels(
        &mut self,
        x: usize,
        gate: usize,
        last: bool,
    ) -> Result<(usize, Arc<()>)> {
        let (a, b) = (&self.slots[x], &self.slots[gate]);
        let (dims, [batch, _, _, c]) = (a.dims, a.dims);
        if b.dims != [batch, 1, 1, c] || c == 0 || a.values.is_none() || b.values.is_none() {
            bail!(
                "scaling of channels: a map of {dims:?} needs factors of {:?}, found {:?}",
                [batch, 1, 1, c],
                b.dims
            )
        }
        let tracked = a.tracked || b.tracked;
        let factors = factors(b);
        let own = if last && !tracked && a.readers == 0 {
            self.slots[x].values.take()
        } else {
            None
        };
        let own = own.and_then(|values| match Arc::try_unwrap(values) {
            Ok(values) => Some(values),
            // Another map's values too.
            Err(shared) => {
                self.slots[x].values = Some(shared);
                None
            }
        });
        let slot = &self.slots[x];
        let z = match own {
            Some(mut z) => {
                each_piece(&mut z, dims, &factors, |_, z, factors, _| {
                    if let Some(t) = &slot.transform {
                        t.apply_in_place(z);
                    }
                    multiply(z, factors);
                });
                z
            }
            None => {
                let mut z = Buffer::new(dims.iter().product());
                each_piece(&mut z, dims, &factors, |at, z, factors, scratch| {
                    read(slot, at..at + z.len(), scratch, |x| z.copy_from_slice(x));
                    multiply(z, factors);
                });
                z
            }
        };
        let place = self.push(Slot::new(dims, z, tracked));
        if tracked {
            for slot in [x, gate] {
                self.slots[slot].readers += 1;
            }
            let z = place.0;
            self.record(Gate { x, gate, z });
        }
        Ok(place)
    }
}

impl<T: Real> Node<T> for Gate {
    fn result(&self) -> usize {
        self.z
    }

    fn reads(&self) -> Vec<(usize, Need)> {
        vec![(self.x, Need::Rounded), (self.gate, Need::Rounded)]
    }

    fn backward(&self, back: &mut Back<T>) -> Result<()> {
        let Some(Gradient { values, .. }) = back.take(self.z) else {
            back.skip(self.x);
            back.skip(self.gate);
            return Ok(());
        };
        let (x, gate) = (&back.slots[self.x], &back.slots[self.gate]);
        let (dims, c) = (x.dims, x.dims[3]);
        let factors = factors(gate);
        if gate.tracked {
            let (image, len) = (x.image_len(), stretch(dims));
            let pieces = image.div_ceil(len);
            let found: Vec<Vec<f64>> = (0..dims[0] * pieces)
                .into_par_iter()
                .map_init(Vec::new, |scratch, i| {
                    let (at, from) = (i / pieces * image, i % pieces * len);
                    let range = at + from..at + (from + len).min(image);
                    let mut found = Vec::new();
                    read(x, range.clone(), scratch, |x| {
                        found = products(x, &values[range], c);
                    });
                    found
                })
                .collect();
            let mut d_gate = Buffer::new(factors.len());
            for (d, pieces) in d_gate.chunks_mut(c).zip(found.chunks(pieces.max(1))) {
                for (i, d) in d.iter_mut().enumerate() {
                    *d = T::from_f64(pieces.iter().map(|p| p[i]).sum());
                }
            }
            back.add(self.gate, Arc::new(d_gate));
        } else {
            back.skip(self.gate);
        }
        if !x.tracked {
            back.skip(self.x);
            return Ok(());
        }
        let dx = match Arc::try_unwrap(values) {
            Ok(mut dx) => {
                each_piece(&mut dx, dims, &factors, |_, dx, f, _| multiply(dx, f));
                dx
            }
            Err(shared) => {
                let mut dx = Buffer::new(shared.len());
                each_piece(&mut dx, dims, &factors, |at, dx, f, _| {
                    dx.copy_from_slice(&shared[at..at + dx.len()]);
                    multiply(dx, f);
                });
                dx
            }
        };
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
