//! Average pooling, channels last.

use super::columns::add_times;
use super::engine::{Back, Engine, Node, Slot};
use super::join::read;
use crate::avg_pool::AvgPool2dParams;
use crate::buffer::Buffer;
use crate::simd::Real;
use crate::window::{Axis, Windows};
use candle_core::{Result, bail};
use rayon::prelude::*;
use std::sync::Arc;

struct AvgPool<T> {
    x: usize,
    y: usize,
    windows: Windows,
    /// 1 / divisor of each window of a plane.
    factors: Vec<T>,
}

/// The window whose element `tap` is over input `at`, if there is one.
fn window_over(axis: &Axis, at: usize, tap: usize) -> Option<usize> {
    let from = (at + axis.padding).checked_sub(tap * axis.dilation)?;
    (from % axis.stride == 0 && from / axis.stride < axis.out).then_some(from / axis.stride)
}

impl<T: Real> AvgPool<T> {
    /// Writes row `oy` of an image's output; `row(iy, f)` hands its input's rows to `f`.
    fn forward(&self, oy: usize, y: &mut [T], mut row: impl FnMut(usize, &mut dyn FnMut(&[T]))) {
        let Windows { rows, cols, c, .. } = self.windows;
        let factors = &self.factors[oy * cols.out..][..cols.out];
        y.fill(T::ZERO);
        for iy in (0..rows.kernel).filter_map(|tap| rows.input(oy, tap)) {
            row(iy, &mut |x| {
                for tap in 0..cols.kernel {
                    let (windows, first) = cols.inside(tap);
                    for (i, ox) in windows.enumerate() {
                        let x = &x[(first + i * cols.stride) * c..][..c];
                        add_times(x, factors[ox], &mut y[ox * c..][..c]);
                    }
                }
            });
        }
    }

    /// Writes the gradient of row `iy` of an image from that of its output.
    fn backward(&self, iy: usize, dy: &[T], dx: &mut [T]) {
        let Windows { rows, cols, c, .. } = self.windows;
        dx.fill(T::ZERO);
        for oy in (0..rows.kernel).filter_map(|tap| window_over(&rows, iy, tap)) {
            let dy = &dy[oy * cols.out * c..][..cols.out * c];
            let factors = &self.factors[oy * cols.out..][..cols.out];
            for tap in 0..cols.kernel {
                let (windows, first) = cols.inside(tap);
                for (i, ox) in windows.enumerate() {
                    let dx = &mut dx[(first + i * cols.stride) * c..][..c];
                    add_times(&dy[ox * c..][..c], factors[ox], dx);
                }
            }
        }
    }
}

impl<T: Real> Engine<T> {
    /// Adds an average pooling.
    pub(crate) fn avg_pool(
        &mut self,
        x: usize,
        params: AvgPool2dParams,
    ) -> Result<(usize, Arc<()>)> {
        let slot = &self.slots[x];
        let [batch, h, w, c] = slot.dims;
        let windows = params.windows(&[batch, c, h, w])?;
        if c == 0 || slot.values.is_none() {
            bail!("avg-pool: expected at least one channel")
        }
        let (rows, cols) = (windows.rows, windows.cols);
        let factors = params.factors(&windows).into_iter();
        let node = AvgPool {
            x,
            y: self.slots.len(),
            windows,
            factors: factors.map(T::from_f64).collect(),
        };
        let dims = [batch, rows.out, cols.out, c];
        let mut y = Buffer::new(dims.iter().product());
        y.par_chunks_mut(cols.out * c)
            .enumerate()
            .for_each_init(Vec::new, |scratch, (i, y)| {
                let (image, oy) = (i / rows.out, i % rows.out);
                node.forward(oy, y, |iy, f| {
                    let at = (image * h + iy) * w * c;
                    read(slot, at..at + w * c, scratch, f);
                });
            });
        let tracked = slot.tracked;
        let place = self.push(Slot::new(dims, y, tracked));
        if tracked {
            self.slots[x].readers += 1;
            self.record(node);
        }
        Ok(place)
    }
}

impl<T: Real> Node<T> for AvgPool<T> {
    fn result(&self) -> usize {
        self.y
    }

    fn backward(&self, back: &mut Back<T>) -> Result<()> {
        let Some(gradient) = back.take(self.y) else {
            back.skip(self.x);
            return Ok(());
        };
        let Windows { rows, cols, c, .. } = self.windows;
        let image = rows.out * cols.out * c;
        let mut dx = Buffer::new(back.slots[self.x].dims.iter().product());
        dx.par_chunks_mut(cols.len * c)
            .enumerate()
            .for_each(|(i, dx)| {
                let dy = &gradient.values[i / rows.len * image..][..image];
                self.backward(i % rows.len, dy, dx);
            });
        back.add(self.x, Arc::new(dx));
        Ok(())
    }
}
