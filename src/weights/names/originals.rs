//! The names in the files that the authors of a network gave out themselves, where timm's differ.

use super::{Scheme, nothing};

pub(super) const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "the ConvNeXt authors'",
        prefix: &[],
        rules: &[
            ("downsample_layers.0.*", "stem.*"),
            ("downsample_layers.{s}.*", "stages.{s}.downsample.*"),
            ("stages.{s}.{b}.dwconv.*", "stages.{s}.blocks.{b}.conv_dw.*"),
            (
                "stages.{s}.{b}.pwconv{i}.*",
                "stages.{s}.blocks.{b}.mlp.fc{i}.*",
            ),
            (
                "stages.{s}.{b}.grn.gamma",
                "stages.{s}.blocks.{b}.mlp.grn.weight",
            ),
            (
                "stages.{s}.{b}.grn.beta",
                "stages.{s}.blocks.{b}.mlp.grn.bias",
            ),
            ("stages.{s}.{b}.*", "stages.{s}.blocks.{b}.*"),
            ("norm.*", "head.norm.*"),
            ("head.*", ""),
        ],
        variance: nothing,
    },
    Scheme {
        name: "the Swin authors'",
        prefix: &[],
        rules: &[
            // Between two stages: timm counts it to the later one.
            ("layers.{s}.downsample.*", "layers.{s+1}.downsample.*"),
            ("layers.*", "layers.*"),
            ("patch_embed.*", "patch_embed.*"),
            ("norm.*", "norm.*"),
            ("head.*", ""),
        ],
        variance: nothing,
    },
    Scheme {
        name: "the DINOv2 authors'",
        prefix: &[],
        rules: &[
            ("register_tokens", "reg_token"),
            ("mask_token", ""),
            ("blocks.{b}.mlp.w12.*", "blocks.{b}.mlp.fc1.*"),
            ("blocks.{b}.mlp.w3.*", "blocks.{b}.mlp.fc2.*"),
            ("*", "*"),
        ],
        variance: nothing,
    },
];
