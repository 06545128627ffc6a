//! Convolution, normalisation, activation.

use super::super::geometry::{Conv2dParams, Geometry};
use super::super::norm::{Activation, BatchMoments, Norm, Statistics};
use candle_core::{DType, Device, Result, Tensor, bail};

/// As [`conv2d`](crate::conv2d).
///
/// # Errors
/// If shapes do not fit.
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: Conv2dParams,
    activation: Activation,
) -> Result<Tensor> {
    let y = convolve(x, weight, params)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(&per_channel(bias, &y)?)?,
        None => y,
    };
    activate(&y, activation)
}

/// As [`conv2d_norm_act`](crate::conv2d_norm_act).
///
/// # Errors
/// If shapes do not fit.
pub fn conv2d_norm_act(
    x: &Tensor,
    weight: &Tensor,
    params: Conv2dParams,
    norm: &Norm,
    activation: Activation,
) -> Result<(Tensor, BatchMoments)> {
    let y = convolve(x, weight, params)?;
    let over = (0, 2, 3);
    let (centred, var, moments) = match &norm.statistics {
        Statistics::Batch => {
            let mean = y.mean_keepdim(over)?;
            let centred = y.broadcast_sub(&mean)?;
            let var = centred.sqr()?.mean_keepdim(over)?;
            let moments = BatchMoments {
                mean: host(&mean)?,
                var: host(&var)?,
                count: (y.elem_count() / y.dim(1)?) as f64,
            };
            (centred, var, moments)
        }
        Statistics::Fixed { mean, var } => (
            y.broadcast_sub(&per_channel(&mean.detach(), &y)?)?,
            per_channel(&var.detach(), &y)?,
            BatchMoments::default(),
        ),
    };
    let z = centred
        .broadcast_div(&(var + norm.eps)?.sqrt()?)?
        .broadcast_mul(&per_channel(norm.gamma, &y)?)?
        .broadcast_add(&per_channel(norm.beta, &y)?)?;
    Ok((activate(&z, activation)?, moments))
}

/// One number a channel in the form that meets `y`.
pub(crate) fn per_channel(t: &Tensor, y: &Tensor) -> Result<Tensor> {
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

/// The convolution as one matrix product a group, over the inputs that each output sees.
fn convolve(x: &Tensor, weight: &Tensor, params: Conv2dParams) -> Result<Tensor> {
    let g = Geometry::new(x.dims(), weight.dims(), params)?;
    let seen = if g.is_pointwise() {
        x.flatten_from(2)?
    } else {
        let [top, bottom, left, right] = params.padding;
        let padded = x
            .pad_with_zeros(2, top, bottom)?
            .pad_with_zeros(3, left, right)?;
        let positions = positions(&g);
        let positions = Tensor::from_vec(positions.clone(), positions.len(), x.device())?;
        padded.flatten_from(2)?.index_select(&positions, 2)?
    };
    let groups = params.groups;
    let depth = g.c / groups * g.kh * g.kw;
    let seen = seen.reshape((g.batch, groups, depth, g.out_plane()))?;
    let weight = weight.reshape((1, groups, g.o / groups, depth))?;
    weight
        .broadcast_matmul(&seen)?
        .reshape((g.batch, g.o, g.oh, g.ow))
}

/// For each kernel element the places in the padded plane that the outputs see through it.
fn positions(g: &Geometry) -> Vec<u32> {
    let [_, _, left, right] = g.p.padding;
    let width = g.w + left + right;
    let mut positions = Vec::with_capacity(g.kh * g.kw * g.out_plane());
    for tap in 0..g.kh * g.kw {
        let (dy, dx) = (tap / g.kw * g.p.dilation.0, tap % g.kw * g.p.dilation.1);
        for oy in 0..g.oh {
            let row = (oy * g.p.stride.0 + dy) * width + dx;
            positions.extend((0..g.ow).map(|ox| (row + ox * g.p.stride.1) as u32));
        }
    }
    positions
}

/// As an activation says.
pub(crate) fn activate(y: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation.pointwise() {
        None => Ok(y.clone()),
        Some(function) => super::pointwise(y, function),
    }
}
