//! Global average pooling, and scaling by constants (drop-path and dropout).

use super::fallback;
use super::shared::{tensor, typed, typed_storage, values, with_values};
use super::simd::{Real, sum};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

/// The mean of each channel over all positions.
///
/// # Shapes
/// `x` `(batch, C, H, W)`; result `(batch, C)`.
///
/// # Errors
/// If `x` has another rank or is empty, or on the CPU if its type is neither `f32` nor `f64`.
pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::global_avg_pool(x);
    }
    x.contiguous()?.apply_op1(GlobalAvgPool)
}

/// `x` multiplied by constants, each covering `x.elem_count() / factors.len()` consecutive values: one factor an image is
/// drop-path (Huang et al. 2016), one a value is dropout (Srivastava et al. 2014).
///
/// # Shapes
/// `x` of any shape; the result has the same.
///
/// # Errors
/// If the number of factors does not divide that of values, or as [`global_avg_pool`].
pub fn scale(x: &Tensor, factors: Vec<f32>) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return fallback::scale(x, factors);
    }
    x.contiguous()?.apply_op1(Scale { factors })
}

struct GlobalAvgPool;

impl GlobalAvgPool {
    fn fwd<T: Real>(x: &[T], plane: usize) -> Vec<T> {
        x.par_chunks(plane)
            .with_min_len(64)
            .map(|p| T::from_f64(sum(p) / plane as f64))
            .collect()
    }

    fn back<T: Real>(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let plane = h * w;
        let share = T::from_f64(1.0 / plane as f64);
        with_values(dy, |dy: &[T]| {
            let mut dx = vec![T::ZERO; x.elem_count()];
            dx.par_chunks_mut(plane)
                .with_min_len(64)
                .zip(dy)
                .for_each(|(dx, d)| dx.fill(*d * share));
            tensor(dx, x.dims())
        })
    }
}

impl CustomOp1 for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "hydranet-global-avg-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let &[batch, c, h, w] = layout.dims() else {
            bail!(
                "global average pool: expected (batch, C, H, W), found {:?}",
                layout.dims()
            )
        };
        if h * w == 0 {
            bail!("global average pool: expected at least one position, found {h}×{w}")
        }
        let storage = typed_storage!("global average pool", x, T => Self::fwd::<T>(values(x, layout)?, h * w));
        Ok((storage, Shape::from_dims(&[batch, c])))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        typed!("global average pool", x, T => Self::back::<T>(x, dy).map(Some))
    }
}

struct Scale {
    factors: Vec<f32>,
}

impl Scale {
    fn apply<T: Real>(&self, x: &[T]) -> Vec<T> {
        let share = x.len() / self.factors.len();
        x.chunks(share.max(1))
            .zip(&self.factors)
            .flat_map(|(x, f)| {
                let f = T::from_f64(f64::from(*f));
                x.iter().map(move |v| *v * f)
            })
            .collect()
    }
}

impl CustomOp1 for Scale {
    fn name(&self) -> &'static str {
        "hydranet-scale"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let n = layout.shape().elem_count();
        if self.factors.is_empty() || !n.is_multiple_of(self.factors.len()) {
            bail!(
                "scale: {} factors do not divide {n} values",
                self.factors.len()
            )
        }
        let storage = typed_storage!("scale", x, T => self.apply::<T>(values(x, layout)?));
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        typed!("scale", x, T => with_values(dy, |dy: &[T]| tensor(self.apply(dy), x.dims())).map(Some))
    }
}
