//! Pooling over windows.

use super::slices::{Seen, Way};
use candle_core::{Device, Result, Tensor, bail};
use hydranet_kernels::pool::{AvgPool2dParams, Axis, Windows};

/// The greatest value of each window.
pub(super) fn max_pool(x: &Tensor, g: &Windows) -> Result<Tensor> {
    let seen = Seen::of(x, way(&g.rows), way(&g.cols))?;
    let (kw, width) = (g.cols.kernel, seen.width);
    let windows = g.rows.out * width;
    // Of those that reach over an end it does not matter.
    let is_inside = |tap: usize, window: usize| {
        let column = (window % width).min(g.cols.out - 1);
        g.rows.input(window / width, tap / kw).is_some() && g.cols.input(column, tap % kw).is_some()
    };
    let mask = |of: &dyn Fn(usize) -> bool| {
        let mask: Vec<u8> = (0..windows).map(|window| of(window).into()).collect();
        Tensor::from_vec(mask, (1, 1, windows), x.device())
    };
    let mut best: Option<Tensor> = None;
    for (tap, candidate) in seen.taps.iter().enumerate() {
        best = Some(match best {
            None => candidate.clone(),
            Some(best) => {
                let (v, b) = (candidate.detach(), best.detach());
                // Greater, or a NaN, which alone differs from itself.
                let better = (v.gt(&b)? + v.ne(&v)?)?;
                let whole = |tap: usize| (0..windows).all(|window| is_inside(tap, window));
                if whole(0) && whole(tap) {
                    better.where_cond(candidate, &best)?
                } else {
                    // But never padding; and the first inside in any case.
                    let inside = mask(&|window| is_inside(tap, window))?;
                    let first = mask(&|window| {
                        is_inside(tap, window) && !(0..tap).any(|t| is_inside(t, window))
                    })?;
                    let better = better.broadcast_mul(&inside)?.broadcast_add(&first)?;
                    better.where_cond(candidate, &best)?
                }
            }
        });
    }
    match best {
        Some(best) => seen.windows(&best),
        None => bail!("max pooling: windows without values"),
    }
}

/// The mean of each window.
pub(super) fn avg_pool(x: &Tensor, params: &AvgPool2dParams, g: &Windows) -> Result<Tensor> {
    let seen = Seen::of(x, way(&g.rows), way(&g.cols))?;
    let Some((first, others)) = seen.taps.split_first() else {
        bail!("average pooling: windows without values")
    };
    let sum = others
        .iter()
        .try_fold(first.clone(), |sum, values| sum + values)?;
    let sum = seen.windows(&sum)?;
    // Converted on the CPU: not every device has f64.
    let factors = Tensor::new(params.factors(g), &Device::Cpu)?
        .to_dtype(x.dtype())?
        .reshape((1, 1, g.rows.out, g.cols.out))?
        .to_device(x.device())?;
    sum.broadcast_mul(&factors)
}

fn way(axis: &Axis) -> Way {
    Way {
        before: axis.padding,
        taps: axis.kernel,
        dilation: 1,
        stride: axis.stride,
        out: axis.out,
    }
}
