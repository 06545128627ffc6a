//! A convolution as one matrix product a group over what its windows see, there and back.

use super::slices::{Back, Seen, Way, joined};
use candle_core::{Result, Tensor};
use hydranet_kernels::geometry::Geometry;

/// The result of a pointwise convolution of `x` `(batch, C, H, W)`, whose gradients candle finds by products too.
pub(super) fn pointwise(x: &Tensor, weight: &Tensor, g: &Geometry) -> Result<Tensor> {
    product(weight, &x.flatten_from(2)?, g)?.reshape((g.batch, g.o, g.oh, g.ow))
}

/// The result for `x` `(batch, C, H, W)`.
pub(super) fn result(x: &Tensor, weight: &Tensor, g: &Geometry) -> Result<Tensor> {
    let seen = seen(x, g)?;
    seen.windows(&product(weight, &seen.columns(0..seen.taps.len())?, g)?)
}

/// The gradient of the weight: products of the result's gradient with what windows have seen.
pub(super) fn of_weight(x: &Tensor, gradient: &Tensor, g: &Geometry) -> Result<Tensor> {
    let (groups, depth) = (g.p.groups, g.c / g.p.groups * g.kh * g.kw);
    let seen = seen(x, g)?;
    let columns = seen.columns(0..seen.taps.len())?;
    let columns = columns.reshape((g.batch, groups, depth, ()))?;
    let gradient = gradient.pad_with_zeros(3, 0, seen.width - g.ow)?;
    let gradient = gradient.reshape((g.batch, groups, g.o / groups, ()))?;
    let products = gradient.matmul(&columns.transpose(2, 3)?)?;
    products.sum(0)?.reshape((g.o, g.c / groups, g.kh, g.kw))
}

/// The gradient of `x`: for positions whose places have the same remainders by the strides, products of the elements that lay over
/// them with the gradients of their windows.
pub(super) fn of_images(weight: &Tensor, gradient: &Tensor, g: &Geometry) -> Result<Tensor> {
    let (rows, cols) = Way::of(g);
    let (down, across) = (Back::new(rows, g.h), Back::new(cols, g.w));
    let seen = Seen::of(gradient, down.way(), across.way())?;
    let groups = g.p.groups;
    let weight = weight.reshape((groups, g.o / groups, g.c / groups, g.kh * g.kw))?;
    let mut planes = Vec::with_capacity(rows.stride * cols.stride);
    for phase in 0..rows.stride * cols.stride {
        let (mut elements, mut taps) = (Vec::new(), Vec::new());
        for (dy, y) in down.met(phase / cols.stride) {
            for (dx, x) in across.met(phase % cols.stride) {
                elements.push((dy * g.kw + dx) as u32);
                taps.push(y * (across.reach + 1) + x);
            }
        }
        planes.push(if taps.is_empty() {
            let shape = (g.batch, g.c, down.len, across.len);
            Tensor::zeros(shape, gradient.dtype(), gradient.device())?
        } else {
            let count = elements.len();
            let elements = Tensor::from_vec(elements, count, weight.device())?;
            let matrices = weight.index_select(&elements, 3)?.transpose(1, 2)?;
            let matrices = matrices.reshape((1, groups, g.c / groups, g.o / groups * count))?;
            seen.windows(&grouped(&matrices, &seen.columns(taps)?)?)?
        });
    }
    joined(planes, 2)?
        .reshape(&[g.batch, g.c, rows.stride, cols.stride, down.len, across.len])?
        .permute([0, 1, 4, 2, 5, 3])?
        .reshape((
            g.batch,
            g.c,
            down.len * rows.stride,
            across.len * cols.stride,
        ))?
        .narrow(2, rows.before, g.h)?
        .narrow(3, cols.before, g.w)
}

fn seen(x: &Tensor, g: &Geometry) -> Result<Seen> {
    let (rows, cols) = Way::of(g);
    Seen::of(x, rows, cols)
}

/// Products of the weight with columns `(batch, C · elements, positions)`.
fn product(weight: &Tensor, columns: &Tensor, g: &Geometry) -> Result<Tensor> {
    grouped(
        &weight.reshape((1, g.p.groups, g.o / g.p.groups, ()))?,
        columns,
    )
}

/// Products of each group's matrix `(1, groups, rows, depth)` with its columns, `(batch, groups · depth, positions)`:
/// `(batch, groups · rows, positions)`.
fn grouped(matrices: &Tensor, columns: &Tensor) -> Result<Tensor> {
    let (_, groups, rows, depth) = matrices.dims4()?;
    let (batch, _, positions) = columns.dims3()?;
    let columns = columns.reshape((batch, groups, depth, positions))?;
    let product = matrices.broadcast_matmul(&columns)?;
    product.reshape((batch, groups * rows, positions))
}
