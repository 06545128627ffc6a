//! A first convolution made for red, green and blue, for images of other channels.

use candle_core::{Result, Tensor, bail};

/// The weights of a first convolution over three channels, for images of another number of `channels`, as timm: for one the sum
/// over the three, which answers to a grey photo as before; for more the three repeated in turn, times 3 / `channels`, so that
/// sums stay of the same size.
///
/// # Shapes
/// `weight` `(outputs, 3, height, width)`; result `(outputs, channels, height, width)`.
///
/// # Errors
/// If `weight` has another shape or `channels` is 0.
pub fn adapt_input_conv(weight: &Tensor, channels: usize) -> Result<Tensor> {
    let &[_, 3, _, _] = weight.dims() else {
        bail!(
            "first convolution: expected weights of shape (outputs, 3, height, width), found {:?}",
            weight.dims()
        )
    };
    match channels {
        0 => bail!("first convolution: images have at least one channel"),
        1 => weight.sum_keepdim(1),
        3 => Ok(weight.clone()),
        _ => {
            let turns = vec![weight; channels.div_ceil(3)];
            let repeated = Tensor::cat(&turns, 1)?.narrow(1, 0, channels)?;
            repeated * (3.0 / channels as f64)
        }
    }
}
