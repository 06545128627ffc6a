//! Average pooling.

use crate::engine::{Back, Engine, Gradient, Node, Slot};
use crate::step::Output;
use crate::values::{Value, fits};
use candle_core::Result;
use hydranet_kernels::buffer::Buffer;
use hydranet_kernels::columns::add_times;
use hydranet_kernels::pool::{AvgPool2dParams, Windows};
use rayon::prelude::*;
use std::sync::Arc;

struct AvgPool<T> {
    x: usize,
    windows: Windows,
    /// 1 / divisor of each window of a plane.
    factors: Vec<T>,
}

impl<T: Value> AvgPool<T> {
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
        for oy in (0..rows.kernel).filter_map(|tap| rows.window_over(iy, tap)) {
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

pub(super) fn forward<T: Value>(
    engine: &mut Engine<T>,
    x: usize,
    params: AvgPool2dParams,
    dims: [usize; 4],
) -> Result<Output> {
    let slot = &engine.slots[x];
    let windows = fits(params.windows(slot.dims))?;
    let (rows, cols, c) = (windows.rows, windows.cols, windows.c);
    let factors = params.factors(&windows).into_iter();
    let node = AvgPool {
        x,
        windows,
        factors: factors.map(T::from_f64).collect(),
    };
    let (input, row) = (slot.input()?, cols.len * c);
    let mut y = Buffer::new(dims.iter().product());
    y.par_chunks_mut(cols.out * c)
        .enumerate()
        .for_each_init(Vec::new, |scratch, (i, y)| {
            let (image, oy) = (i / rows.out, i % rows.out);
            node.forward(oy, y, |iy, f| {
                let at = (image * rows.len + iy) * row;
                input.read(at..at + row, scratch, f);
            });
        });
    let slot = Slot::new(dims, y, slot.tracked);
    Ok(engine.give(slot, &[x], |_, _| node))
}

impl<T: Value> Node<T> for AvgPool<T> {
    fn backward(&self, gradient: Gradient<T>, back: &mut Back<T>) -> Result<()> {
        let Windows { rows, cols, c, .. } = self.windows;
        let image = rows.out * cols.out * c;
        let mut dx = Buffer::new(back.slots[self.x].len());
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
