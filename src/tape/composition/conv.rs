//! A convolution with normalisation and activation.

use super::activation::activation;
use super::convolve::convolve;
use crate::epilogue::FusedConv;
use crate::norm::{BatchMoments, Statistics};
use candle_core::{DType, Device, Result, Tensor, bail};

/// A convolution with what follows it, and the batch's moments.
pub(super) fn conv(x: &Tensor, conv: &FusedConv) -> Result<(Tensor, BatchMoments)> {
    let (batch, c, h, w) = x.dims4()?;
    let mut y = convolve(x, &conv.weight, &conv.geometry([batch, h, w, c])?)?;
    let epilogue = &conv.epilogue;
    if let Some(bias) = &epilogue.bias {
        y = y.broadcast_add(&per_channel(bias, &y)?)?;
    }
    let mut moments = BatchMoments::default();
    if let Some((statistics, eps)) = &epilogue.norm {
        let (centred, var);
        (centred, var, moments) = centre(&y, statistics)?;
        y = centred.broadcast_div(&(var + *eps)?.sqrt()?)?;
    }
    if let Some(gamma) = &epilogue.gamma {
        y = y.broadcast_mul(&per_channel(gamma, &y)?)?;
    }
    if let Some(beta) = &epilogue.beta {
        y = y.broadcast_add(&per_channel(beta, &y)?)?;
    }
    Ok((activation(&y, epilogue.activation)?, moments))
}

/// What is left of `y` without the mean, the variance, and the batch's moments where they are those.
fn centre(y: &Tensor, statistics: &Statistics) -> Result<(Tensor, Tensor, BatchMoments)> {
    match statistics {
        Statistics::Batch => {
            let over = (0, 2, 3);
            let mean = y.mean_keepdim(over)?;
            let centred = y.broadcast_sub(&mean)?;
            let var = centred.sqr()?.mean_keepdim(over)?;
            let moments = BatchMoments {
                mean: host(&mean)?,
                var: host(&var)?,
                count: (y.elem_count() / y.dim(1)?) as f64,
            };
            Ok((centred, var, moments))
        }
        Statistics::Fixed { mean, var } => Ok((
            y.broadcast_sub(&per_channel(&mean.detach(), y)?)?,
            per_channel(&var.detach(), y)?,
            BatchMoments::default(),
        )),
    }
}

/// One number a channel in the form that meets `y`.
pub(super) fn per_channel(t: &Tensor, y: &Tensor) -> Result<Tensor> {
    let channels = y.dim(1)?;
    if t.dims() != [channels] {
        bail!(
            "convolution: expected one value for each of {channels} output channels, found {:?}",
            t.dims()
        )
    }
    t.to_dtype(y.dtype())?.reshape((1, channels, 1, 1))
}

fn host(t: &Tensor) -> Result<Vec<f64>> {
    // To the CPU first: not every device has f64.
    t.detach()
        .flatten_all()?
        .to_device(&Device::Cpu)?
        .to_dtype(DType::F64)?
        .to_vec1()
}
