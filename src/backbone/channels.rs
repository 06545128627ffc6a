//! Networks for images of other channels than red, green and blue.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

/// Gives convolutions over three channels, which are those that see the image, weights over another number.
struct Images<'a> {
    vb: VarBuilder<'a>,
    channels: usize,
}

/// `vb` for a network that was written for images of three channels and sees some of `channels`.
pub(super) fn of_images<'a>(vb: VarBuilder<'a>, channels: usize) -> VarBuilder<'a> {
    if channels == 3 {
        return vb;
    }
    let (dtype, device) = (vb.dtype(), vb.device().clone());
    VarBuilder::from_backend(Box::new(Images { vb, channels }), dtype, device)
}

impl SimpleBackend for Images<'_> {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        _: &Device,
    ) -> Result<Tensor> {
        let shape = match *shape.dims() {
            [outputs, 3, height, width] => (outputs, self.channels, height, width).into(),
            _ => shape,
        };
        self.vb.get_with_hints_dtype(shape, name, init, dtype)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _: &Device) -> Result<Tensor> {
        self.vb.get_unchecked_dtype(name, dtype)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.vb.contains_tensor(name)
    }
}
