//! torchvision's names. Its ResNet has timm's.

use super::{Scheme, Target, nothing};

pub(super) const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "torchvision's MobileNetV2",
        prefix: &[],
        rules: &[
            ("features.0.0.*", "conv_stem.*"),
            ("features.0.1.*", "bn1.*"),
            (
                "features.{b}.conv.0.0.*",
                "blocks.[b-1].<conv_dw|conv_pw>.*",
            ),
            ("features.{b}.conv.0.1.*", "blocks.[b-1].bn1.*"),
            ("features.{b}.conv.1.0.*", "blocks.[b-1].conv_dw.*"),
            ("features.{b}.conv.1.1.*", "blocks.[b-1].bn2.*"),
            ("features.{b}.conv.1.*", "blocks.[b-1].conv_pw.*"),
            ("features.{b}.conv.2.*", "blocks.[b-1].<bn2|conv_pwl>.*"),
            ("features.{b}.conv.3.*", "blocks.[b-1].bn3.*"),
            ("features.{b}.0.*", "conv_head.*"),
            ("features.{b}.1.*", "bn2.*"),
            ("classifier.*", ""),
        ],
        variance: nothing,
    },
    Scheme {
        name: "torchvision's MobileNetV3",
        prefix: &[],
        rules: &[
            ("features.0.0.*", "conv_stem.*"),
            ("features.0.1.*", "bn1.*"),
            (
                "features.{b}.block.0.0.*",
                "blocks.[b-1].<conv_dw|conv_pw>.*",
            ),
            ("features.{b}.block.0.1.*", "blocks.[b-1].bn1.*"),
            (
                "features.{b}.block.1.0.*",
                "blocks.[b-1].<conv_pw|conv_dw>.*",
            ),
            ("features.{b}.block.1.1.*", "blocks.[b-1].bn2.*"),
            (
                "features.{b}.block.{i}.fc1.*",
                "blocks.[b-1].se.conv_reduce.*",
            ),
            (
                "features.{b}.block.{i}.fc2.*",
                "blocks.[b-1].se.conv_expand.*",
            ),
            (
                "features.{b}.block.2.0.*",
                "blocks.[b-1].<conv_pw|conv_pwl>.*",
            ),
            ("features.{b}.block.2.1.*", "blocks.[b-1].<bn2|bn3>.*"),
            ("features.{b}.block.3.0.*", "blocks.[b-1].conv_pwl.*"),
            ("features.{b}.block.3.1.*", "blocks.[b-1].bn3.*"),
            ("features.{b}.0.*", "blocks.[b-1].conv.*"),
            ("features.{b}.1.*", "blocks.[b-1].bn1.*"),
            ("classifier.0.*", "conv_head.*"),
            ("classifier.*", ""),
        ],
        variance: greater_epsilon,
    },
    Scheme {
        name: "torchvision's EfficientNet",
        prefix: &[],
        rules: &[
            ("features.0.0.*", "conv_stem.*"),
            ("features.0.1.*", "bn1.*"),
            (
                "features.{s}.{b}.block.0.0.*",
                "blocks.{s-1}.{b}.<conv_dw|conv_pw>.*",
            ),
            ("features.{s}.{b}.block.0.1.*", "blocks.{s-1}.{b}.bn1.*"),
            ("features.{s}.{b}.block.1.0.*", "blocks.{s-1}.{b}.conv_dw.*"),
            ("features.{s}.{b}.block.1.1.*", "blocks.{s-1}.{b}.bn2.*"),
            (
                "features.{s}.{b}.block.{i}.fc1.*",
                "blocks.{s-1}.{b}.se.conv_reduce.*",
            ),
            (
                "features.{s}.{b}.block.{i}.fc2.*",
                "blocks.{s-1}.{b}.se.conv_expand.*",
            ),
            ("features.{s}.{b}.block.2.0.*", "blocks.{s-1}.{b}.conv_pw.*"),
            ("features.{s}.{b}.block.2.1.*", "blocks.{s-1}.{b}.bn2.*"),
            (
                "features.{s}.{b}.block.3.0.*",
                "blocks.{s-1}.{b}.conv_pwl.*",
            ),
            ("features.{s}.{b}.block.3.1.*", "blocks.{s-1}.{b}.bn3.*"),
            ("features.8.0.*", "conv_head.*"),
            ("features.8.1.*", "bn2.*"),
            ("classifier.*", ""),
        ],
        // B5 and greater have another ε than B0 to B4, whose blocks are 32 at most.
        variance: |target| {
            if target.count() > 32 {
                greater_epsilon(target)
            } else {
                0.0
            }
        },
    },
    Scheme {
        name: "torchvision's ConvNeXt",
        prefix: &[],
        rules: &[
            ("features.0.*", "stem.*"),
            ("features.1.{b}.block.0.*", "stages.0.blocks.{b}.conv_dw.*"),
            ("features.1.{b}.block.2.*", "stages.0.blocks.{b}.norm.*"),
            ("features.1.{b}.block.3.*", "stages.0.blocks.{b}.mlp.fc1.*"),
            ("features.1.{b}.block.5.*", "stages.0.blocks.{b}.mlp.fc2.*"),
            ("features.1.{b}.layer_scale", "stages.0.blocks.{b}.gamma"),
            ("features.2.*", "stages.1.downsample.*"),
            ("features.3.{b}.block.0.*", "stages.1.blocks.{b}.conv_dw.*"),
            ("features.3.{b}.block.2.*", "stages.1.blocks.{b}.norm.*"),
            ("features.3.{b}.block.3.*", "stages.1.blocks.{b}.mlp.fc1.*"),
            ("features.3.{b}.block.5.*", "stages.1.blocks.{b}.mlp.fc2.*"),
            ("features.3.{b}.layer_scale", "stages.1.blocks.{b}.gamma"),
            ("features.4.*", "stages.2.downsample.*"),
            ("features.5.{b}.block.0.*", "stages.2.blocks.{b}.conv_dw.*"),
            ("features.5.{b}.block.2.*", "stages.2.blocks.{b}.norm.*"),
            ("features.5.{b}.block.3.*", "stages.2.blocks.{b}.mlp.fc1.*"),
            ("features.5.{b}.block.5.*", "stages.2.blocks.{b}.mlp.fc2.*"),
            ("features.5.{b}.layer_scale", "stages.2.blocks.{b}.gamma"),
            ("features.6.*", "stages.3.downsample.*"),
            ("features.7.{b}.block.0.*", "stages.3.blocks.{b}.conv_dw.*"),
            ("features.7.{b}.block.2.*", "stages.3.blocks.{b}.norm.*"),
            ("features.7.{b}.block.3.*", "stages.3.blocks.{b}.mlp.fc1.*"),
            ("features.7.{b}.block.5.*", "stages.3.blocks.{b}.mlp.fc2.*"),
            ("features.7.{b}.layer_scale", "stages.3.blocks.{b}.gamma"),
            ("classifier.0.*", "head.norm.*"),
            ("classifier.*", ""),
        ],
        variance: nothing,
    },
    Scheme {
        name: "torchvision's vision transformer",
        prefix: &[],
        rules: &[
            ("class_token", "cls_token"),
            ("conv_proj.*", "patch_embed.proj.*"),
            ("encoder.pos_embedding", "pos_embed"),
            (
                "encoder.layers.encoder_layer_{b}.ln_1.*",
                "blocks.{b}.norm1.*",
            ),
            (
                "encoder.layers.encoder_layer_{b}.self_attention.in_proj_*",
                "blocks.{b}.attn.qkv.*",
            ),
            (
                "encoder.layers.encoder_layer_{b}.self_attention.out_proj.*",
                "blocks.{b}.attn.proj.*",
            ),
            (
                "encoder.layers.encoder_layer_{b}.ln_2.*",
                "blocks.{b}.norm2.*",
            ),
            // Before 0.12 and since.
            (
                "encoder.layers.encoder_layer_{b}.mlp.linear_{i}.*",
                "blocks.{b}.mlp.fc{i}.*",
            ),
            (
                "encoder.layers.encoder_layer_{b}.mlp.0.*",
                "blocks.{b}.mlp.fc1.*",
            ),
            (
                "encoder.layers.encoder_layer_{b}.mlp.3.*",
                "blocks.{b}.mlp.fc2.*",
            ),
            ("encoder.ln.*", "norm.*"),
            ("heads.*", ""),
        ],
        variance: nothing,
    },
    Scheme {
        name: "torchvision's Swin",
        prefix: &[],
        rules: &[
            ("features.0.0.*", "patch_embed.proj.*"),
            ("features.0.2.*", "patch_embed.norm.*"),
            ("features.1.{b}.mlp.0.*", "layers.0.blocks.{b}.mlp.fc1.*"),
            ("features.1.{b}.mlp.3.*", "layers.0.blocks.{b}.mlp.fc2.*"),
            ("features.1.{b}.*", "layers.0.blocks.{b}.*"),
            ("features.2.*", "layers.1.downsample.*"),
            ("features.3.{b}.mlp.0.*", "layers.1.blocks.{b}.mlp.fc1.*"),
            ("features.3.{b}.mlp.3.*", "layers.1.blocks.{b}.mlp.fc2.*"),
            ("features.3.{b}.*", "layers.1.blocks.{b}.*"),
            ("features.4.*", "layers.2.downsample.*"),
            ("features.5.{b}.mlp.0.*", "layers.2.blocks.{b}.mlp.fc1.*"),
            ("features.5.{b}.mlp.3.*", "layers.2.blocks.{b}.mlp.fc2.*"),
            ("features.5.{b}.*", "layers.2.blocks.{b}.*"),
            ("features.6.*", "layers.3.downsample.*"),
            ("features.7.{b}.mlp.0.*", "layers.3.blocks.{b}.mlp.fc1.*"),
            ("features.7.{b}.mlp.3.*", "layers.3.blocks.{b}.mlp.fc2.*"),
            ("features.7.{b}.*", "layers.3.blocks.{b}.*"),
            ("norm.*", "norm.*"),
            ("head.*", ""),
        ],
        variance: nothing,
    },
];

/// These networks are trained with ε = 1e-3 where timm's have 1e-5.
fn greater_epsilon(_: &Target) -> f64 {
    1e-3 - 1e-5
}
