//! Sizes of a convolution.

use crate::error::{Result, bail};

/// Stride, zero padding, dilation and groups of a convolution.
///
/// # Shapes
/// input `(batch, C, H, W)`, weight `(O, C / groups, kernel height, kernel width)`, output `(batch, O, H', W')` with
/// H' = (H + top + bottom − dilation·(kernel height − 1) − 1) / stride + 1, rounded down, as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dParams {
    /// (vertical, horizontal) step between output positions.
    pub stride: (usize, usize),
    /// Zero rows and columns around the input: `[top, bottom, left, right]`.
    pub padding: [usize; 4],
    /// (vertical, horizontal) step between kernel elements.
    pub dilation: (usize, usize),
    /// Groups of channels that do not see each other; `groups` = C is a depthwise convolution.
    pub groups: usize,
}

impl Default for Conv2dParams {
    fn default() -> Self {
        Self {
            stride: (1, 1),
            padding: [0; 4],
            dilation: (1, 1),
            groups: 1,
        }
    }
}

impl Conv2dParams {
    /// Padding as TensorFlow's `SAME`: output size = input size / stride, rounded up; an odd row or column goes to the bottom
    /// or right.
    pub fn same_padding(mut self, input: (usize, usize), kernel: (usize, usize)) -> Self {
        let total = |size: usize, kernel: usize, stride: usize, dilation: usize| {
            ((size.div_ceil(stride) - 1) * stride + dilation * (kernel - 1) + 1)
                .saturating_sub(size)
        };
        let v = total(input.0, kernel.0, self.stride.0, self.dilation.0);
        let h = total(input.1, kernel.1, self.stride.1, self.dilation.1);
        self.padding = [v / 2, v - v / 2, h / 2, h - h / 2];
        self
    }
}

/// All sizes of one convolution.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    pub batch: usize,
    /// Input channels, height, width.
    pub c: usize,
    pub h: usize,
    pub w: usize,
    /// Output channels, height, width.
    pub o: usize,
    pub oh: usize,
    pub ow: usize,
    pub kh: usize,
    pub kw: usize,
    pub p: Conv2dParams,
}

impl Geometry {
    pub fn new(x: &[usize], weight: &[usize], p: Conv2dParams) -> Result<Self> {
        let (&[batch, c, h, w], &[o, cg, kh, kw]) = (x, weight) else {
            bail!(
                "convolution: expected input (batch, C, H, W) and weight (O, C/groups, kh, kw), found {x:?} and {weight:?}"
            )
        };
        let Conv2dParams {
            stride,
            padding,
            dilation,
            groups,
        } = p;
        if groups == 0 || c != cg * groups || o % groups != 0 {
            bail!(
                "convolution: weight {weight:?} with {groups} groups does not fit an input of {c} channels"
            )
        }
        if batch == 0 || c == 0 || h == 0 || w == 0 || o == 0 {
            bail!(
                "convolution: expected at least one value, found input {x:?} and weight {weight:?}"
            )
        }
        if stride.0 == 0
            || stride.1 == 0
            || dilation.0 == 0
            || dilation.1 == 0
            || kh == 0
            || kw == 0
        {
            bail!(
                "convolution: stride, dilation and kernel must be at least 1, found {p:?} and weight {weight:?}"
            )
        }
        let (span_h, span_w) = (dilation.0 * (kh - 1) + 1, dilation.1 * (kw - 1) + 1);
        let (padded_h, padded_w) = (h + padding[0] + padding[1], w + padding[2] + padding[3]);
        if padded_h < span_h || padded_w < span_w {
            bail!(
                "convolution: kernel {kh}×{kw} is larger than the padded input {padded_h}×{padded_w}"
            )
        }
        let (oh, ow) = (
            (padded_h - span_h) / stride.0 + 1,
            (padded_w - span_w) / stride.1 + 1,
        );
        Ok(Self {
            batch,
            c,
            h,
            w,
            o,
            oh,
            ow,
            kh,
            kw,
            p,
        })
    }

    /// One filter a channel, undilated: the direct kernel's case.
    pub fn is_depthwise(&self) -> bool {
        self.p.groups == self.c && self.o == self.c && self.c > 1 && self.p.dilation == (1, 1)
    }

    /// 1×1, stride 1, unpadded: the matrix product needs no copy of the input.
    pub fn is_pointwise(&self) -> bool {
        (self.kh, self.kw) == (1, 1) && self.p.stride == (1, 1) && self.p.padding == [0; 4]
    }

    pub fn in_plane(&self) -> usize {
        self.h * self.w
    }

    pub fn out_plane(&self) -> usize {
        self.oh * self.ow
    }
}
