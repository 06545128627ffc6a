//! One convolution over maps of bytes.

use super::depthwise::Depthwise;
use super::patches::patches;
use super::product::{LONGEST, Product, QUAD, Rows};
use super::{Finish, Following, Path, Scale, stride};
use crate::error::{Result, bail};
use crate::geometry::Geometry;
use std::ops::Range;

/// A convolution, packed for one size of maps.
#[derive(Clone, Debug)]
pub struct Conv {
    g: Geometry,
    kernel: Kernel,
    finish: Finish,
    /// Bytes of a position of the input, and the byte of the value 0.
    stride: usize,
    zero: u8,
}

#[derive(Clone, Debug)]
enum Kernel {
    Depthwise(Depthwise),
    Pointwise(Product),
    /// Over copies of the windows, of so many bytes each.
    Dense(Product, usize),
}

impl Conv {
    /// Of weights `q` `(O, C / groups, kh, kw)`, with a scale for each output channel, over one image of a map whose bytes mean
    /// `input`; those of the result mean `output`. A map that is `tight` has its channels only, without filling, as images have.
    ///
    /// # Errors
    /// If there are groups of several channels or a dilation, a sum may not fit in 32 bits, scales do not fit each other, or a map
    /// that is added or tight is given to a depthwise convolution.
    pub fn new(
        path: Path,
        g: &Geometry,
        (q, scales): (&[i8], &[f32]),
        (input, tight): (Scale, bool),
        output: Scale,
        following: &Following,
    ) -> Result<Self> {
        let Some(finish) = Finish::new((q, scales), input, output, following) else {
            bail!(
                "the scales {:e} of its input and {:e} of its result do not go together",
                input.scale,
                output.scale
            )
        };
        if g.p.dilation != (1, 1) {
            bail!("a convolution with a dilation is not computed in eight bits")
        }
        let bytes = if tight { g.c } else { stride(g.c) };
        let kernel = if g.is_depthwise() {
            if tight || following.added.is_some() {
                bail!(
                    "a depthwise convolution of images, or with a sum, is not computed in eight bits"
                )
            }
            Kernel::Depthwise(Depthwise::new(path, g, q, input.zero))
        } else if g.p.groups != 1 {
            bail!("a convolution in groups is not computed in eight bits")
        } else {
            let window = g.kh * g.kw;
            let depth = window * bytes;
            if depth > LONGEST {
                bail!("a convolution over {depth} values has sums of more than 32 bits")
            }
            if g.is_pointwise() && !tight {
                Kernel::Pointwise(Product::new(path, q, g.c))
            } else {
                // (O, C, kh · kw) as (O, kh · kw, bytes of a position).
                let mut turned = vec![0i8; g.o * depth];
                for (o, row) in turned.chunks_mut(depth).enumerate() {
                    for (k, position) in row.chunks_mut(bytes).enumerate() {
                        for (c, w) in position[..g.c].iter_mut().enumerate() {
                            *w = q[(o * g.c + c) * window + k];
                        }
                    }
                }
                let product = Product::new(path, &turned, depth);
                Kernel::Dense(product, depth.next_multiple_of(QUAD))
            }
        };
        Ok(Self {
            g: *g,
            kernel,
            finish,
            stride: bytes,
            zero: input.zero,
        })
    }

    /// Its sizes.
    pub fn geometry(&self) -> &Geometry {
        &self.g
    }

    /// Output rows of one image, `(rows, ow, channels filled up)`; `added` are the same rows of a map that is added.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn rows(
        &self,
        x: &[u8],
        rows: Range<usize>,
        added: Option<&[u8]>,
        out: &mut [u8],
        scratch: &mut Vec<u8>,
    ) {
        let g = &self.g;
        match &self.kernel {
            Kernel::Depthwise(d) => d.run(x, rows, &self.finish, out, scratch),
            Kernel::Pointwise(product) => {
                let rows = Rows {
                    values: &x[rows.start * g.ow * self.stride..],
                    stride: self.stride,
                    count: rows.len() * g.ow,
                };
                product.run(rows, &self.finish, added, out);
            }
            Kernel::Dense(product, depth) => {
                let len = g.ow * stride(g.o);
                for (i, oy) in rows.enumerate() {
                    patches(g, x, self.stride, self.zero, oy, *depth, scratch);
                    let rows = Rows {
                        values: scratch,
                        stride: *depth,
                        count: g.ow,
                    };
                    let added = added.map(|a| &a[i * len..][..len]);
                    product.run(rows, &self.finish, added, &mut out[i * len..][..len]);
                }
            }
        }
    }
}
