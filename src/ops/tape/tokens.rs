//! Steps of a tape over tokens, maps of one row: attention, patches to tokens, one token.

use super::columns::{add, add_scaled};
use super::engine::{Back, Engine, Need, Node, Slot};
use super::join::read;
use crate::buffer::Buffer;
use crate::heads::{Grid, Sizes, Source, Target, backward, forward_into};
use crate::shared::{SharedMut, with_values};
use crate::simd::Real;
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;
use std::sync::Arc;

/// Attention over a map of queries, keys and values, (3, heads, dim) at each token.
struct Attention<T> {
    x: usize,
    y: usize,
    sizes: Sizes,
    scale: T,
    notes: Vec<T>,
}

/// Tokens from patches: the prefix in front, positions added, to the prefix too if there are as many.
struct Tokens {
    x: usize,
    y: usize,
    prefix: usize,
    positions: usize,
}

/// One token of each image.
struct Token {
    x: usize,
    y: usize,
    place: usize,
}

fn grids<T>(s: Sizes, f: impl Fn(Grid) -> T) -> [T; 3] {
    [0, 1, 2].map(|part| f(Grid::packed(s, 3, part)))
}

impl<T: Real> Engine<T> {
    /// Adds an attention.
    pub(crate) fn attention(&mut self, x: usize, heads: usize) -> Result<(usize, Arc<()>)> {
        let slot = &self.slots[x];
        let [batch, h, w, c] = slot.dims;
        let (Some(values), None) = (slot.values.clone(), &slot.transform) else {
            bail!("attention: expected the result of a linear layer without activation")
        };
        if heads == 0 || c % (3 * heads) != 0 || values.is_empty() {
            bail!("attention: {c} channels are not queries, keys and values of {heads} heads")
        }
        let sizes = Sizes {
            batch,
            heads,
            tokens: h * w,
            dim: c / 3 / heads,
        };
        let scale = T::from_f64(1.0 / (sizes.dim as f64).sqrt());
        let mut y = Buffer::new(sizes.elements());
        let mut notes = vec![T::ZERO; batch * heads * sizes.tokens * 2];
        let target = Target(SharedMut::new(&mut y), Grid::packed(sizes, 1, 0));
        // SAFETY: the buffer is this step's own.
        unsafe {
            let sources = grids(sizes, |grid| Source(&values, grid));
            forward_into(sizes, scale, sources, target, &mut notes);
        }
        let tracked = slot.tracked;
        let place = self.push(Slot::new([batch, h, w, c / 3], y, tracked));
        if tracked {
            self.slots[x].readers += 1;
            self.record(Attention {
                x,
                y: place.0,
                sizes,
                scale,
                notes,
            });
        }
        Ok(place)
    }

    /// Adds tokens: `prefix` `(1, p, channels)` before the positions of each image, `positions` `(1, p + H · W, channels)` added, or
    /// `(1, H · W, channels)` to those behind the prefix.
    pub(crate) fn tokens(
        &mut self,
        x: usize,
        prefix: &Tensor,
        positions: &Tensor,
    ) -> Result<(usize, Arc<()>)> {
        let slot = &self.slots[x];
        let [batch, h, w, c] = slot.dims;
        let p = prefix.dims().get(1).copied().unwrap_or(0);
        let n = p + h * w;
        let embedded = positions.dims() == [1, n, c];
        let fits = embedded || positions.dims() == [1, h * w, c];
        if prefix.dims() != [1, p, c] || !fits || n * c == 0 {
            bail!(
                "tokens: {h} × {w} patches of {c} channels need a prefix (1, p, {c}) and positions (1, p + {0}, {c}) or (1, {0}, {c}), found {1:?} and {2:?}",
                h * w,
                prefix.dims(),
                positions.dims()
            )
        }
        let image = slot.image_len();
        let mut y = Buffer::new(batch * n * c);
        let one = T::from_f64(1.0);
        with_values(prefix, |prefix: &[T]| {
            with_values(positions, |positions: &[T]| {
                y.par_chunks_mut(n * c)
                    .enumerate()
                    .for_each_init(Vec::new, |scratch, (i, y)| {
                        let (first, rest) = y.split_at_mut(p * c);
                        let (before, behind) = positions.split_at(positions.len() - image);
                        if embedded {
                            add_scaled(prefix, before, one, first)
                        } else {
                            first.copy_from_slice(prefix)
                        }
                        read(slot, i * image..(i + 1) * image, scratch, |x| {
                            add_scaled(x, behind, one, rest);
                        });
                    });
                Ok(())
            })
        })?;
        let tracked = slot.tracked || prefix.track_op() || positions.track_op();
        let place = self.push(Slot::new([batch, 1, n, c], y, tracked));
        if tracked {
            self.slots[x].readers += 1;
            let node = Tokens {
                x,
                y: place.0,
                prefix: self.param(prefix),
                positions: self.param(positions),
            };
            self.record(node);
        }
        Ok(place)
    }

    /// Adds one token of each image as a map of 1 × 1.
    pub(crate) fn token(&mut self, x: usize, place: usize) -> Result<(usize, Arc<()>)> {
        let slot = &self.slots[x];
        let [batch, h, w, c] = slot.dims;
        if place >= h * w {
            bail!("token {place} of {}", h * w)
        }
        let mut y = Buffer::new(batch * c);
        for (i, y) in y.chunks_exact_mut(c.max(1)).enumerate() {
            let from = i * slot.image_len() + place * c;
            read(slot, from..from + c, &mut Vec::new(), |x| {
                y.copy_from_slice(x)
            });
        }
        let tracked = slot.tracked;
        let y = self.push(Slot::new([batch, 1, 1, c], y, tracked));
        if tracked {
            self.slots[x].readers += 1;
            self.record(Token { x, y: y.0, place });
        }
        Ok(y)
    }
}

impl<T: Real> Node<T> for Attention<T> {
    fn result(&self) -> usize {
        self.y
    }

    fn reads(&self) -> Vec<(usize, Need)> {
        vec![(self.x, Need::Exact)]
    }

    fn backward(&self, back: &mut Back<T>) -> Result<()> {
        let Some(gradient) = back.take(self.y) else {
            back.skip(self.x);
            return Ok(());
        };
        let Some(values) = &back.slots[self.x].values else {
            bail!("attention: its values were let go of before backward")
        };
        let s = self.sizes;
        let mut dx = Buffer::new(values.len());
        let shared = SharedMut::new(&mut dx);
        // SAFETY: the buffer is this step's own, and the three grids lie apart in it.
        unsafe {
            let sources = grids(s, |grid| Source(values, grid));
            let d_out = Source(&gradient.values, Grid::packed(s, 1, 0));
            let targets = grids(s, |grid| Target(shared, grid));
            backward(s, self.scale, sources, &self.notes, d_out, targets);
        }
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}

impl<T: Real> Node<T> for Tokens {
    fn result(&self) -> usize {
        self.y
    }

    fn backward(&self, back: &mut Back<T>) -> Result<()> {
        let Some(gradient) = back.take(self.y) else {
            back.skip(self.x);
            return Ok(());
        };
        let [_, _, n, c] = back.slots[self.y].dims;
        let [_, h, w, _] = back.slots[self.x].dims;
        let p = n - h * w;
        // Images in order, so that the sum does not depend on the threads.
        let mut positions = vec![T::ZERO; n * c];
        for image in gradient.values.chunks_exact(n * c) {
            add(image, &mut positions);
        }
        back.param(self.prefix, positions[..p * c].to_vec());
        let first = n * c - back.params[self.positions].tensor.elem_count();
        back.param(self.positions, positions.split_off(first));
        if !back.slots[self.x].tracked {
            back.skip(self.x);
            return Ok(());
        }
        let image = (h * w * c).max(1);
        let mut dx = Buffer::new(back.slots[self.x].dims.iter().product());
        for (dx, dy) in dx
            .chunks_exact_mut(image)
            .zip(gradient.values.chunks_exact(n * c))
        {
            dx.copy_from_slice(&dy[p * c..]);
        }
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}

impl<T: Real> Node<T> for Token {
    fn result(&self) -> usize {
        self.y
    }

    fn backward(&self, back: &mut Back<T>) -> Result<()> {
        let Some(gradient) = back.take(self.y) else {
            back.skip(self.x);
            return Ok(());
        };
        let slot = &back.slots[self.x];
        let (c, image) = (slot.dims[3], slot.image_len());
        let mut dx = Buffer::new(slot.dims.iter().product());
        dx.par_chunks_mut(image)
            .zip(gradient.values.par_chunks(c))
            .for_each(|(dx, dy)| {
                dx.fill(T::ZERO);
                dx[self.place * c..(self.place + 1) * c].copy_from_slice(dy);
            });
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
