//! A convolution in candle's graph, with its way back written down.
//!
//! Left to candle, the gradient of each slice that was read on the way there would be filled up with zeros to the size of the plane
//! and added, one after the other, and all slices would be kept until then.

use super::columns;
use super::depthwise::Depthwise;
use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp3, DType, Layout, MetalStorage, Result, Shape, Tensor,
};
use hydranet_kernels::geometry::Geometry;

/// The convolution of `x` `(batch, C, H, W)`.
pub(super) fn convolve(x: &Tensor, weight: &Tensor, g: &Geometry) -> Result<Tensor> {
    if g.is_pointwise() {
        return columns::pointwise(x, weight, g);
    }
    let (images, kernels) = (x.detach(), weight.detach());
    let banded = Depthwise::of(g).is_some() && is_finite(&images)? && is_finite(&kernels)?;
    let convolution = Convolution {
        geometry: *g,
        banded,
    };
    let y = match convolution.depthwise() {
        Some(depthwise) => depthwise.result(&images, &kernels),
        None => columns::result(&images, &kernels, g),
    }?;
    if x.track_op() || weight.track_op() {
        y.apply_op3(x, weight, convolution)
    } else {
        Ok(y)
    }
}

/// Whether no value is broken. Where the sum is too great for its type this says no as well.
fn is_finite(values: &Tensor) -> Result<bool> {
    let sum = values.sum_all()?.to_dtype(DType::F32)?;
    Ok(sum.to_scalar::<f32>()?.is_finite())
}

/// A convolution whose result, its first argument, is known; the others are the images and the weight.
struct Convolution {
    geometry: Geometry,
    /// Whether it is depthwise and may be a product by banded matrices: times their zeros, a broken value would break a whole row.
    banded: bool,
}

impl Convolution {
    fn depthwise(&self) -> Option<Depthwise<'_>> {
        Depthwise::of(&self.geometry).filter(|_| self.banded)
    }
}

/// candle has no way to hand storage over to a result.
fn copied<S: BackendStorage>(y: &S, layout: &Layout) -> Result<(S, Shape)> {
    Ok((y.try_clone(layout)?, layout.shape().clone()))
}

impl CustomOp3 for Convolution {
    fn name(&self) -> &'static str {
        "hydranet-convolution"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        copied(y, layout)
    }

    fn cuda_fwd(
        &self,
        y: &CudaStorage,
        layout: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        copied(y, layout)
    }

    fn metal_fwd(
        &self,
        y: &MetalStorage,
        layout: &Layout,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        copied(y, layout)
    }

    fn bwd(
        &self,
        _: &Tensor,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (g, images, kernels) = (&self.geometry, x.detach(), weight.detach());
        let depthwise = match self.depthwise() {
            Some(depthwise) if is_finite(gradient)? => Some(depthwise),
            _ => None,
        };
        let of_images = || match &depthwise {
            Some(depthwise) => depthwise.of_images(&kernels, gradient),
            None => columns::of_images(&kernels, gradient, g),
        };
        let of_weight = || match &depthwise {
            Some(depthwise) => depthwise.of_weight(&images, gradient),
            None => columns::of_weight(&images, gradient, g),
        };
        Ok((
            None,
            x.track_op().then(of_images).transpose()?,
            weight.track_op().then(of_weight).transpose()?,
        ))
    }
}
