//! Pooling over windows.

use candle_core::{Device, Result, Tensor, bail};
use hydranet_kernels::pool::{AvgPool2dParams, Windows};

/// The greatest value of each window.
pub(super) fn max_pool(x: &Tensor, g: &Windows) -> Result<Tensor> {
    let mut taps = taps(g);
    // In the padding the window's own first value stands in.
    let first: Vec<Option<u32>> = (0..g.rows.out * g.cols.out)
        .map(|window| taps.iter().find_map(|places| places[window]))
        .collect();
    for places in &mut taps {
        for (place, first) in places.iter_mut().zip(&first) {
            *place = place.or(*first);
        }
    }
    let mut found = select(x, &taps)?.into_iter();
    let Some(mut best) = found.next() else {
        bail!("max pooling: windows without values")
    };
    for candidate in found {
        let (v, b) = (candidate.detach(), best.detach());
        // Greater, or a NaN, which alone differs from itself.
        let better = (v.gt(&b)? + v.ne(&v)?)?;
        best = better.where_cond(&candidate, &best)?;
    }
    planes(&best, g)
}

/// The mean of each window.
pub(super) fn avg_pool(x: &Tensor, params: &AvgPool2dParams, g: &Windows) -> Result<Tensor> {
    let mut found = select(x, &taps(g))?.into_iter();
    let Some(mut sum) = found.next() else {
        bail!("average pooling: windows without values")
    };
    for values in found {
        sum = (sum + values)?;
    }
    // Converted on the CPU: not every device has f64.
    let factors = Tensor::new(params.factors(g), &Device::Cpu)?
        .to_dtype(x.dtype())?
        .to_device(x.device())?;
    planes(&sum.broadcast_mul(&factors)?, g)
}

/// `(batch, C, windows)` as a map.
fn planes(x: &Tensor, g: &Windows) -> Result<Tensor> {
    x.reshape((g.batch, g.c, g.rows.out, g.cols.out))
}

/// For each element of the kernel the place in the plane that each window sees through it; `None` is padding.
fn taps(g: &Windows) -> Vec<Vec<Option<u32>>> {
    let (kw, ow) = (g.cols.kernel, g.cols.out);
    let place = |tap: usize, window: usize| {
        let y = g.rows.input(window / ow, tap / kw)?;
        let x = g.cols.input(window % ow, tap % kw)?;
        Some((y * g.cols.len + x) as u32)
    };
    (0..g.rows.kernel * kw)
        .map(|tap| {
            (0..g.rows.out * g.cols.out)
                .map(|w| place(tap, w))
                .collect()
        })
        .collect()
}

/// The values of each plane at these places, 0 where there is none: a tensor `(batch, C, windows)` for each list.
fn select(x: &Tensor, taps: &[Vec<Option<u32>>]) -> Result<Vec<Tensor>> {
    let (batch, c, h, w) = x.dims4()?;
    let mut plane = x.flatten_from(2)?;
    if taps.iter().flatten().any(Option::is_none) {
        let outside = Tensor::zeros((batch, c, 1), x.dtype(), x.device())?;
        plane = Tensor::cat(&[&plane, &outside], 2)?;
    }
    let beyond = (h * w) as u32;
    taps.iter()
        .map(|places| {
            let places: Vec<u32> = places.iter().map(|p| p.unwrap_or(beyond)).collect();
            plane.index_select(&Tensor::new(places, x.device())?, 2)
        })
        .collect()
}
