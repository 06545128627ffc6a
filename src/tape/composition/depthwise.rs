//! A depthwise convolution as matrix products, there and back.
//!
//! A channel's kernel is one row of few weights, and candle's products with a single row are slow. So each row of a kernel is
//! written as a banded matrix from a row of the map to a row of the result, by which the rows of all images are multiplied at
//! once: more multiplications, in fewer and larger products.

use super::slices::{Back, Way, joined};
use candle_core::{DType, Device, Result, Tensor, bail};
use hydranet_kernels::geometry::Geometry;

/// A convolution whose channels see only themselves.
pub(super) struct Depthwise<'a> {
    g: &'a Geometry,
    rows: Way,
    cols: Way,
}

impl<'a> Depthwise<'a> {
    /// If the convolution is one.
    pub fn of(g: &'a Geometry) -> Option<Self> {
        let (rows, cols) = Way::of(g);
        (g.p.groups == g.c && g.o == g.c).then_some(Self { g, rows, cols })
    }

    /// The result for `x` `(batch, C, H, W)`.
    pub fn result(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let (g, x) = (self.g, self.seen(x)?);
        let bands = self.bands(weight)?;
        let products = (0..g.kh).map(|dy| self.slice(&x, dy)?.matmul(&bands.get_on_dim(1, dy)?));
        total(products)?
            .reshape((g.c, g.batch, g.oh, g.ow))?
            .transpose(0, 1)?
            .contiguous()
    }

    /// The gradient of the weight, from that of the result.
    pub fn of_weight(&self, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let (g, x) = (self.g, self.seen(x)?);
        let gradient = gradient
            .transpose(0, 1)?
            .reshape((g.c, g.batch * g.oh, g.ow))?;
        let bands = (0..g.kh).map(|dy| self.slice(&x, dy)?.transpose(1, 2)?.matmul(&gradient));
        Tensor::stack(&bands.collect::<Result<Vec<_>>>()?, 1)?
            .reshape((g.c * g.kh, g.w * g.ow))?
            .matmul(&self.places(x.dtype(), x.device())?.t()?)?
            .reshape((g.c, 1, g.kh, g.kw))
    }

    /// The gradient of `x`: rows see the gradients of the windows that saw them.
    pub fn of_images(&self, weight: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let (g, back) = (self.g, Back::new(self.rows, self.g.h));
        let way = back.way();
        let after = way.padded(g.oh) - g.oh - way.before;
        let gradient = gradient
            .transpose(0, 1)?
            .pad_with_zeros(2, way.before, after)?;
        let bands = self.bands(weight)?.transpose(2, 3)?;
        let of_phase = |phase| {
            let products = back.met(phase).map(|(dy, first)| {
                let seen = gradient.narrow(2, first, back.len)?;
                let seen = seen.reshape((g.c, g.batch * back.len, g.ow))?;
                seen.matmul(&bands.get_on_dim(1, dy)?)
            });
            let shape = (g.c, g.batch, back.len, g.w);
            match back.met(phase).next() {
                Some(_) => total(products)?.reshape(shape),
                None => Tensor::zeros(shape, gradient.dtype(), gradient.device()),
            }
        };
        let phases = (0..self.rows.stride).map(of_phase);
        joined(phases.collect::<Result<Vec<_>>>()?, 3)?
            .reshape((g.c, g.batch, back.len * self.rows.stride, g.w))?
            .narrow(2, self.rows.before, g.h)?
            .transpose(0, 1)
    }

    /// The rows of all images by channel, with zeros before and behind, those a stride apart next to each other:
    /// `(C, batch, rows / stride, stride · W)`.
    fn seen(&self, x: &Tensor) -> Result<Tensor> {
        let (g, rows) = (self.g, &self.rows);
        let height = rows.padded(g.h);
        x.transpose(0, 1)?
            .pad_with_zeros(2, rows.before, height - g.h - rows.before)?
            .reshape((g.c, g.batch, height / rows.stride, rows.stride * g.w))
    }

    /// Of these, what the kernels' row `dy` lies over in all windows, `(C, batch · H', W)`.
    fn slice(&self, seen: &Tensor, dy: usize) -> Result<Tensor> {
        let (g, first) = (self.g, dy * self.rows.dilation);
        let (row, phase) = (first / self.rows.stride, first % self.rows.stride);
        seen.narrow(2, row, g.oh)?
            .narrow(3, phase * g.w, g.w)?
            .reshape((g.c, g.batch * g.oh, g.w))
    }

    /// The banded matrices: products of the weights with what says which of them stands where.
    fn bands(&self, weight: &Tensor) -> Result<Tensor> {
        let g = self.g;
        weight
            .reshape((g.c * g.kh, g.kw))?
            .matmul(&self.places(weight.dtype(), weight.device())?)?
            .reshape((g.c, g.kh, g.w, g.ow))
    }

    /// For each element of a kernel's row, ones where it stands in the banded matrix, `(kernel width, W · W')`.
    fn places(&self, dtype: DType, device: &Device) -> Result<Tensor> {
        let (g, cols) = (self.g, &self.cols);
        let mut places = vec![0f32; g.kw * g.w * g.ow];
        for dx in 0..g.kw {
            for to in 0..g.ow {
                let at = to * cols.stride + dx * cols.dilation;
                if (cols.before..cols.before + g.w).contains(&at) {
                    places[(dx * g.w + at - cols.before) * g.ow + to] = 1.0;
                }
            }
        }
        let places = Tensor::from_vec(places, (g.kw, g.w * g.ow), &Device::Cpu)?;
        // Converted on the CPU: not every device has every type.
        places.to_dtype(dtype)?.to_device(device)
    }
}

/// The sum of some products, of which there is one at least.
fn total(products: impl IntoIterator<Item = Result<Tensor>>) -> Result<Tensor> {
    let mut products = products.into_iter();
    let Some(first) = products.next() else {
        bail!("convolution: a kernel without rows")
    };
    products.try_fold(first?, |sum, product| sum + product?)
}
