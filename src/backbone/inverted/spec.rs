//! One block, described.

use crate::tape::Activation;

/// One block.
#[derive(Clone, Copy)]
pub(in crate::backbone) struct Spec {
    pub form: Form,
    pub kernel: usize,
    pub stride: usize,
    /// Channels within for each of its input.
    pub expansion: f64,
    pub channels: usize,
    pub squeeze: Option<Squeeze>,
    /// Another activation than the network's.
    pub activation: Option<Activation>,
}

#[derive(Clone, Copy)]
pub(in crate::backbone) enum Form {
    Plain,
    Separable,
    Inverted,
    Fused,
    Universal { start: usize },
}

/// How a block's squeeze-and-excitation is made.
#[derive(Clone, Copy)]
pub(in crate::backbone) enum Squeeze {
    /// A quarter of the block's input channels, its activation, and a sigmoid: EfficientNet.
    OfInput,
    /// A quarter of the channels within, rounded, ReLU, and a hard sigmoid: MobileNetV3.
    OfWithin,
}

/// Convolution, norm, activation; no shortcut.
pub(in crate::backbone) const fn plain(kernel: usize, stride: usize, channels: usize) -> Spec {
    Spec {
        form: Form::Plain,
        kernel,
        stride,
        expansion: 1.0,
        channels,
        squeeze: None,
        activation: None,
    }
}

/// Depthwise convolution and projection.
pub(in crate::backbone) const fn separable(kernel: usize, stride: usize, channels: usize) -> Spec {
    Spec {
        form: Form::Separable,
        ..plain(kernel, stride, channels)
    }
}

/// Expansion, depthwise convolution, projection.
pub(in crate::backbone) const fn inverted(
    kernel: usize,
    stride: usize,
    expansion: f64,
    channels: usize,
) -> Spec {
    Spec {
        form: Form::Inverted,
        expansion,
        ..plain(kernel, stride, channels)
    }
}

/// Expansion by a convolution that sees neighbours, and projection.
pub(in crate::backbone) const fn fused(
    kernel: usize,
    stride: usize,
    expansion: f64,
    channels: usize,
) -> Spec {
    Spec {
        form: Form::Fused,
        ..inverted(kernel, stride, expansion, channels)
    }
}

/// The universal inverted bottleneck (Qin et al. 2024): an inverted residual with a depthwise convolution before the expansion,
/// one behind it, both, or none (kernel 0).
pub(in crate::backbone) const fn universal(
    start: usize,
    kernel: usize,
    stride: usize,
    expansion: f64,
    channels: usize,
) -> Spec {
    Spec {
        form: Form::Universal { start },
        ..inverted(kernel, stride, expansion, channels)
    }
}

impl Spec {
    pub(in crate::backbone) const fn squeezed(self, squeeze: Squeeze) -> Self {
        Self {
            squeeze: Some(squeeze),
            ..self
        }
    }

    pub(in crate::backbone) const fn with(self, activation: Activation) -> Self {
        Self {
            activation: Some(activation),
            ..self
        }
    }
}

/// The multiple of 8 nearest to `v`, at least 8 and no less than nine tenths of `v`: how channels are scaled.
pub(in crate::backbone) fn divisible(v: f64) -> usize {
    let near = ((v + 4.0) as usize / 8 * 8).max(8);
    if (near as f64) < 0.9 * v {
        near + 8
    } else {
        near
    }
}
