//! Max-pooling, channels last. Each output remembers which of its window's values it took.

use super::engine::{Back, Engine, Node, Slot};
use super::join::read;
use crate::buffer::Buffer;
use crate::simd::{Real, kernel};
use candle_core::{Result, bail};
use rayon::prelude::*;
use std::sync::Arc;

/// A window of `kernel` × `kernel`, every `stride` positions, over an input with `padding` positions around it that are never
/// taken.
#[derive(Clone, Copy)]
struct Pool {
    kernel: usize,
    stride: usize,
    padding: usize,
    h: usize,
    w: usize,
    oh: usize,
    ow: usize,
    c: usize,
}

impl Pool {
    /// Calls `f(place in the window, input position)` for each input position in the window of output (y, x), row by row.
    fn window(&self, y: usize, x: usize, mut f: impl FnMut(u8, usize)) {
        for ky in 0..self.kernel {
            let iy = (y * self.stride + ky).wrapping_sub(self.padding);
            for kx in 0..self.kernel {
                let ix = (x * self.stride + kx).wrapping_sub(self.padding);
                if iy < self.h && ix < self.w {
                    f((ky * self.kernel + kx) as u8, iy * self.w + ix);
                }
            }
        }
    }
}

struct MaxPool {
    x: usize,
    y: usize,
    pool: Pool,
    /// For each output its place in the window.
    taken: Vec<u8>,
}

kernel! {
    /// Where `row` is greater than `best`, or not a number, it becomes the best.
    fn compare<T>(row: &[T], place: u8, best: &mut [T], taken: &mut [u8]) {
        for ((v, best), taken) in row.iter().zip(best).zip(taken) {
            #[allow(clippy::eq_op)]
            let better = *v > *best || *v != *v;
            *best = if better { *v } else { *best };
            *taken = if better { place } else { *taken };
        }
    }
}

impl<T: Real> Engine<T> {
    /// Adds a max-pooling.
    pub(crate) fn max_pool(
        &mut self,
        x: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Result<(usize, Arc<()>)> {
        let slot = &self.slots[x];
        let [batch, h, w, c] = slot.dims;
        if kernel == 0 || kernel > 15 || stride == 0 || 2 * padding > kernel {
            bail!(
                "max-pool: expected a kernel from 1 to 15, a stride of at least 1 and a padding of at most half the kernel, found {kernel}, {stride}, {padding}"
            )
        }
        if h + 2 * padding < kernel || w + 2 * padding < kernel || c == 0 || slot.values.is_none() {
            bail!("max-pool: a window of {kernel} does not fit an input of {h} × {w} × {c}")
        }
        let size = |n: usize| (n + 2 * padding - kernel) / stride + 1;
        let pool = Pool {
            kernel,
            stride,
            padding,
            h,
            w,
            oh: size(h),
            ow: size(w),
            c,
        };
        let dims = [batch, pool.oh, pool.ow, c];
        let (image, out) = (slot.image_len(), pool.oh * pool.ow * c);
        let mut y = Buffer::new(batch * out);
        let mut taken = vec![0u8; batch * out];
        y.par_chunks_mut(out)
            .zip(taken.par_chunks_mut(out))
            .enumerate()
            .for_each_init(Vec::new, |scratch, (i, (y, taken))| {
                read(slot, i * image..(i + 1) * image, scratch, |x| {
                    let places = y.chunks_exact_mut(c).zip(taken.chunks_exact_mut(c));
                    for (place, (y, taken)) in places.enumerate() {
                        y.fill(T::from_f64(f64::NEG_INFINITY));
                        pool.window(place / pool.ow, place % pool.ow, |k, at| {
                            compare(&x[at * c..(at + 1) * c], k, y, taken);
                        });
                    }
                });
            });
        let tracked = slot.tracked;
        let place = self.push(Slot::new(dims, y, tracked));
        if tracked {
            self.slots[x].readers += 1;
            self.record(MaxPool {
                x,
                y: place.0,
                pool,
                taken,
            });
        }
        Ok(place)
    }
}

impl<T: Real> Node<T> for MaxPool {
    fn result(&self) -> usize {
        self.y
    }

    fn backward(&self, back: &mut Back<T>) -> Result<()> {
        let Some(gradient) = back.take(self.y) else {
            back.skip(self.x);
            return Ok(());
        };
        let p = &self.pool;
        let c = p.c;
        let (image, out) = (p.h * p.w * c, p.oh * p.ow * c);
        let mut dx = Buffer::new(back.slots[self.x].dims.iter().product());
        dx.par_chunks_mut(image)
            .zip(gradient.values.par_chunks(out))
            .zip(self.taken.par_chunks(out))
            .for_each(|((dx, dy), taken)| {
                dx.fill(T::ZERO);
                let places = dy.chunks_exact(c).zip(taken.chunks_exact(c));
                for (place, (dy, taken)) in places.enumerate() {
                    p.window(place / p.ow, place % p.ow, |k, at| {
                        let dx = &mut dx[at * c..(at + 1) * c];
                        for ((dx, dy), taken) in dx.iter_mut().zip(dy).zip(taken) {
                            if *taken == k {
                                *dx += *dy;
                            }
                        }
                    });
                }
            });
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
