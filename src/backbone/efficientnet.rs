//! EfficientNet (Tan and Le 2019), and its Lite variants (the TensorFlow authors', for edge devices, 2020): no
//! squeeze-and-excitation, ReLU6. Tensors are named as in timm.

use super::inverted::{
    Design, Head, Spec, Squeeze, divisible, inverted, separable, stages as inverted_stages,
};
use super::{HALVES, IMAGENET, LITE, Variant};
use crate::input::Interpolation;
use crate::layers::Padding;
use crate::tape::Activation;

/// (repeats, kernel, stride, expansion, channels) of each stage at width and depth 1.
const STAGES: [(usize, usize, usize, f64, usize); 7] = [
    (1, 3, 1, 1.0, 16),
    (2, 3, 2, 6.0, 24),
    (2, 5, 2, 6.0, 40),
    (3, 3, 2, 6.0, 80),
    (3, 5, 1, 6.0, 112),
    (4, 5, 2, 6.0, 192),
    (1, 3, 1, 6.0, 320),
];

/// The stages with `width` times the channels and `depth` times the blocks, where `deeper` says so.
fn scaled(width: f64, depth: f64, deeper: impl Fn(usize) -> bool) -> Vec<(usize, Spec)> {
    let scale = |(s, (repeats, kernel, stride, expansion, channels))| {
        let depth = if deeper(s) { depth } else { 1.0 };
        let repeats = (repeats as f64 * depth).ceil() as usize;
        let channels = divisible(channels as f64 * width);
        let spec = match s {
            0 => separable(kernel, stride, channels),
            _ => inverted(kernel, stride, expansion, channels),
        };
        (repeats, spec)
    };
    STAGES.into_iter().enumerate().map(scale).collect()
}

/// EfficientNet with PyTorch's padding and eps.
fn own(width: f64, depth: f64) -> Design {
    let squeezed =
        |(repeats, spec): (usize, Spec)| vec![(repeats, spec.squeezed(Squeeze::OfInput))];
    Design {
        stem: divisible(32.0 * width),
        stages: scaled(width, depth, |_| true)
            .into_iter()
            .map(squeezed)
            .collect(),
        head: Head::Map,
        num_features: divisible(1280.0 * width),
        activation: Activation::Silu,
        padding: Padding::Symmetric,
        eps: 1e-5,
    }
}

/// EfficientNet with TensorFlow's padding and eps.
fn tensorflow(width: f64, depth: f64) -> Design {
    Design {
        padding: Padding::Same,
        eps: 1e-3,
        ..own(width, depth)
    }
}

/// Stem, head, and the depths of the first and last stage are not scaled.
fn lite(width: f64, depth: f64) -> Design {
    Design {
        stem: 32,
        stages: scaled(width, depth, |s| s != 0 && s != STAGES.len() - 1)
            .into_iter()
            .map(|stage| vec![stage])
            .collect(),
        num_features: 1280,
        activation: Activation::Relu6,
        ..tensorflow(width, depth)
    }
}

fn stages() -> Vec<Vec<String>> {
    inverted_stages(STAGES.len(), &["conv_head.", "bn2."])
}

const B0: Variant = Variant {
    name: "efficientnet_b0",
    tag: "ra_in1k",
    licence: "apache-2.0",
    num_features: 1280,
    side: 224,
    crop_pct: 0.875,
    interpolation: Interpolation::Bicubic,
    norm: IMAGENET,
    stages,
    build: |vb, drop_path| own(1.0, 1.0).build(vb, drop_path),
};

const TF_B0: Variant = Variant {
    name: "tf_efficientnet_b0",
    tag: "ns_jft_in1k",
    build: |vb, drop_path| tensorflow(1.0, 1.0).build(vb, drop_path),
    ..B0
};

const LITE0: Variant = Variant {
    name: "tf_efficientnet_lite0",
    tag: "in1k",
    norm: LITE,
    build: |vb, drop_path| lite(1.0, 1.0).build(vb, drop_path),
    ..B0
};

pub(super) const VARIANTS: &[Variant] = &[
    LITE0,
    Variant {
        name: "tf_efficientnet_lite1",
        side: 240,
        crop_pct: 0.882,
        build: |vb, drop_path| lite(1.0, 1.1).build(vb, drop_path),
        ..LITE0
    },
    Variant {
        name: "tf_efficientnet_lite2",
        side: 260,
        crop_pct: 0.89,
        build: |vb, drop_path| lite(1.1, 1.2).build(vb, drop_path),
        ..LITE0
    },
    Variant {
        name: "tf_efficientnet_lite3",
        side: 300,
        crop_pct: 0.904,
        interpolation: Interpolation::Bilinear,
        build: |vb, drop_path| lite(1.2, 1.4).build(vb, drop_path),
        ..LITE0
    },
    Variant {
        name: "tf_efficientnet_lite4",
        side: 380,
        crop_pct: 0.92,
        interpolation: Interpolation::Bilinear,
        build: |vb, drop_path| lite(1.4, 1.8).build(vb, drop_path),
        ..LITE0
    },
    B0,
    Variant {
        name: "efficientnet_b1",
        tag: "ra4_e3600_r240_in1k",
        side: 240,
        crop_pct: 0.9,
        norm: HALVES,
        build: |vb, drop_path| own(1.0, 1.1).build(vb, drop_path),
        ..B0
    },
    Variant {
        name: "efficientnet_b2",
        num_features: 1408,
        side: 256,
        build: |vb, drop_path| own(1.1, 1.2).build(vb, drop_path),
        ..B0
    },
    Variant {
        name: "efficientnet_b3",
        tag: "ra2_in1k",
        num_features: 1536,
        side: 288,
        build: |vb, drop_path| own(1.2, 1.4).build(vb, drop_path),
        ..B0
    },
    Variant {
        name: "efficientnet_b4",
        tag: "ra2_in1k",
        num_features: 1792,
        side: 320,
        build: |vb, drop_path| own(1.4, 1.8).build(vb, drop_path),
        ..B0
    },
    TF_B0,
    Variant {
        name: "tf_efficientnet_b1",
        side: 240,
        crop_pct: 0.882,
        build: |vb, drop_path| tensorflow(1.0, 1.1).build(vb, drop_path),
        ..TF_B0
    },
    Variant {
        name: "tf_efficientnet_b2",
        num_features: 1408,
        side: 260,
        crop_pct: 0.89,
        build: |vb, drop_path| tensorflow(1.1, 1.2).build(vb, drop_path),
        ..TF_B0
    },
    Variant {
        name: "tf_efficientnet_b3",
        num_features: 1536,
        side: 300,
        crop_pct: 0.904,
        build: |vb, drop_path| tensorflow(1.2, 1.4).build(vb, drop_path),
        ..TF_B0
    },
    Variant {
        name: "tf_efficientnet_b4",
        num_features: 1792,
        side: 380,
        crop_pct: 0.922,
        build: |vb, drop_path| tensorflow(1.4, 1.8).build(vb, drop_path),
        ..TF_B0
    },
];
