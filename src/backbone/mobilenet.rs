//! MobileNet: V2 (Sandler et al. 2018), V3 (Howard et al. 2019) and V4 (Qin et al. 2024). Tensors are named as in timm.

use super::inverted::{
    Design, Head, Spec, Squeeze, divisible, fused, inverted, plain, separable, stages, universal,
};
use super::{IMAGENET, Variant};
use crate::input::Interpolation;
use crate::layers::Padding;
use crate::tape::Activation;

/// The stages of a network: of each the blocks, and how often each is repeated.
type Stages<'a> = &'a [&'a [(usize, Spec)]];

const V2: Stages = &[
    &[(1, separable(3, 1, 16))],
    &[(2, inverted(3, 2, 6.0, 24))],
    &[(3, inverted(3, 2, 6.0, 32))],
    &[(4, inverted(3, 2, 6.0, 64))],
    &[(3, inverted(3, 1, 6.0, 96))],
    &[(3, inverted(3, 2, 6.0, 160))],
    &[(1, inverted(3, 1, 6.0, 320))],
];

const RELU: Activation = Activation::Relu;
const SQUEEZE: Squeeze = Squeeze::OfWithin;

const V3_SMALL: Stages = &[
    &[(1, separable(3, 2, 16).squeezed(SQUEEZE).with(RELU))],
    &[
        (1, inverted(3, 2, 4.5, 24).with(RELU)),
        (1, inverted(3, 1, 3.67, 24).with(RELU)),
    ],
    &[
        (1, inverted(5, 2, 4.0, 40).squeezed(SQUEEZE)),
        (2, inverted(5, 1, 6.0, 40).squeezed(SQUEEZE)),
    ],
    &[(2, inverted(5, 1, 3.0, 48).squeezed(SQUEEZE))],
    &[(3, inverted(5, 2, 6.0, 96).squeezed(SQUEEZE))],
    &[(1, plain(1, 1, 576))],
];

const V3_LARGE: Stages = &[
    &[(1, separable(3, 1, 16).with(RELU))],
    &[
        (1, inverted(3, 2, 4.0, 24).with(RELU)),
        (1, inverted(3, 1, 3.0, 24).with(RELU)),
    ],
    &[(3, inverted(5, 2, 3.0, 40).squeezed(SQUEEZE).with(RELU))],
    &[
        (1, inverted(3, 2, 6.0, 80)),
        (1, inverted(3, 1, 2.5, 80)),
        (2, inverted(3, 1, 2.3, 80)),
    ],
    &[(2, inverted(3, 1, 6.0, 112).squeezed(SQUEEZE))],
    &[(3, inverted(5, 2, 6.0, 160).squeezed(SQUEEZE))],
    &[(1, plain(1, 1, 960))],
];

const V4_SMALL: Stages = &[
    &[(1, plain(3, 2, 32)), (1, plain(1, 1, 32))],
    &[(1, plain(3, 2, 96)), (1, plain(1, 1, 64))],
    &[
        (1, universal(5, 5, 2, 3.0, 96)),
        (4, universal(0, 3, 1, 2.0, 96)),
        (1, universal(3, 0, 1, 4.0, 96)),
    ],
    &[
        (1, universal(3, 3, 2, 6.0, 128)),
        (1, universal(5, 5, 1, 4.0, 128)),
        (1, universal(0, 5, 1, 4.0, 128)),
        (1, universal(0, 5, 1, 3.0, 128)),
        (2, universal(0, 3, 1, 4.0, 128)),
    ],
    &[(1, plain(1, 1, 960))],
];

const V4_MEDIUM: Stages = &[
    &[(1, fused(3, 2, 4.0, 48))],
    &[
        (1, universal(3, 5, 2, 4.0, 80)),
        (1, universal(3, 3, 1, 2.0, 80)),
    ],
    &[
        (1, universal(3, 5, 2, 6.0, 160)),
        (2, universal(3, 3, 1, 4.0, 160)),
        (1, universal(3, 5, 1, 4.0, 160)),
        (1, universal(3, 3, 1, 4.0, 160)),
        (1, universal(3, 0, 1, 4.0, 160)),
        (1, universal(0, 0, 1, 2.0, 160)),
        (1, universal(3, 0, 1, 4.0, 160)),
    ],
    &[
        (1, universal(5, 5, 2, 6.0, 256)),
        (1, universal(5, 5, 1, 4.0, 256)),
        (2, universal(3, 5, 1, 4.0, 256)),
        (1, universal(0, 0, 1, 4.0, 256)),
        (1, universal(3, 0, 1, 4.0, 256)),
        (1, universal(3, 5, 1, 2.0, 256)),
        (1, universal(5, 5, 1, 4.0, 256)),
        (2, universal(0, 0, 1, 4.0, 256)),
        (1, universal(5, 0, 1, 2.0, 256)),
    ],
    &[(1, plain(1, 1, 960))],
];

/// MobileNetV2 with `width` times the channels; the head is never narrower than at width 1.
fn v2(width: f64) -> Design {
    let scaled = |(repeats, spec): &(usize, Spec)| {
        let channels = divisible(spec.channels as f64 * width);
        (*repeats, Spec { channels, ..*spec })
    };
    Design {
        stem: divisible(32.0 * width),
        stages: V2.iter().map(|s| s.iter().map(scaled).collect()).collect(),
        head: Head::Map,
        num_features: divisible(1280.0 * width).max(1280),
        activation: Activation::Relu6,
        padding: Padding::Symmetric,
        eps: 1e-5,
    }
}

fn v3(stages: Stages, num_features: usize) -> Design {
    Design {
        stem: 16,
        stages: stages.iter().map(|s| s.to_vec()).collect(),
        head: Head::Pooled,
        num_features,
        activation: Activation::HardSwish,
        padding: Padding::Symmetric,
        eps: 1e-5,
    }
}

fn v4(stages: Stages) -> Design {
    Design {
        stem: 32,
        head: Head::PooledNorm,
        activation: Activation::Relu,
        ..v3(stages, 1280)
    }
}

const V2_100: Variant = Variant {
    name: "mobilenetv2_100",
    tag: "ra_in1k",
    licence: "apache-2.0",
    num_features: 1280,
    side: 224,
    crop_pct: 0.875,
    interpolation: Interpolation::Bicubic,
    norm: IMAGENET,
    stages: || stages(V2.len(), &["conv_head.", "bn2."]),
    build: |vb, drop_path| v2(1.0).build(vb, drop_path),
};

pub(super) const VARIANTS: &[Variant] = &[
    Variant {
        name: "mobilenetv2_050",
        tag: "lamb_in1k",
        build: |vb, drop_path| v2(0.5).build(vb, drop_path),
        ..V2_100
    },
    V2_100,
    Variant {
        name: "mobilenetv2_140",
        num_features: 1792,
        build: |vb, drop_path| v2(1.4).build(vb, drop_path),
        ..V2_100
    },
    Variant {
        name: "mobilenetv3_small_100",
        tag: "lamb_in1k",
        num_features: 1024,
        stages: || stages(V3_SMALL.len(), &["conv_head."]),
        build: |vb, drop_path| v3(V3_SMALL, 1024).build(vb, drop_path),
        ..V2_100
    },
    Variant {
        name: "mobilenetv3_large_100",
        stages: || stages(V3_LARGE.len(), &["conv_head."]),
        build: |vb, drop_path| v3(V3_LARGE, 1280).build(vb, drop_path),
        ..V2_100
    },
    Variant {
        name: "mobilenetv4_conv_small",
        tag: "e2400_r224_in1k",
        stages: || stages(V4_SMALL.len(), &["conv_head.", "norm_head."]),
        build: |vb, drop_path| v4(V4_SMALL).build(vb, drop_path),
        ..V2_100
    },
    Variant {
        name: "mobilenetv4_conv_medium",
        tag: "e500_r256_in1k",
        side: 256,
        crop_pct: 0.95,
        stages: || stages(V4_MEDIUM.len(), &["conv_head.", "norm_head."]),
        build: |vb, drop_path| v4(V4_MEDIUM).build(vb, drop_path),
        ..V2_100
    },
];
