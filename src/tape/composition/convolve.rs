//! A convolution in candle's graph, with its way back written down.
//!
//! Left to candle, the gradient of each slice that was read on the way there would be filled up with zeros to the size of the plane
//! and added, one after the other, and all slices would be kept until then.

use super::columns;
use super::depthwise::Depthwise;
use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp3, Layout, MetalStorage, Result, Shape, Tensor,
};
use hydranet_kernels::geometry::Geometry;

/// The convolution of `x` `(batch, C, H, W)`.
pub(super) fn convolve(x: &Tensor, weight: &Tensor, g: &Geometry) -> Result<Tensor> {
    if g.is_pointwise() {
        return columns::pointwise(x, weight, g);
    }
    let y = {
        let (x, weight) = (x.detach(), weight.detach());
        match Depthwise::of(g, [&x, &weight])? {
            Some(depthwise) => depthwise.result(&x, &weight),
            None => columns::result(&x, &weight, g),
        }?
    };
    if x.track_op() || weight.track_op() {
        y.apply_op3(x, weight, Convolution(*g))
    } else {
        Ok(y)
    }
}

/// A convolution whose result, its first argument, is known; the others are the images and the weight.
struct Convolution(Geometry);

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
        Ok((y.try_clone(layout)?, layout.shape().clone()))
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
        Ok((y.try_clone(layout)?, layout.shape().clone()))
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
        Ok((y.try_clone(layout)?, layout.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (g, images, kernels) = (&self.0, x.detach(), weight.detach());
        let of_images = || match Depthwise::of(g, [&kernels, gradient])? {
            Some(depthwise) => depthwise.of_images(&kernels, gradient),
            None => columns::of_images(&kernels, gradient, g),
        };
        let of_weight = || match Depthwise::of(g, [&images, gradient])? {
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
