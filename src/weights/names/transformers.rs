//! The names of Hugging Face's `transformers`, as its files have them.

use super::{Scheme, nothing};

pub(super) const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "transformers' ViT",
        prefix: &["vit.", "deit."],
        rules: &[
            ("embeddings.cls_token", "cls_token"),
            ("embeddings.position_embeddings", "pos_embed"),
            (
                "embeddings.patch_embeddings.projection.*",
                "patch_embed.proj.*",
            ),
            ("embeddings.mask_token", ""),
            ("encoder.layer.{b}.layernorm_before.*", "blocks.{b}.norm1.*"),
            (
                "encoder.layer.{b}.attention.attention.query.*",
                "blocks.{b}.attn.q.*",
            ),
            (
                "encoder.layer.{b}.attention.attention.key.*",
                "blocks.{b}.attn.k.*",
            ),
            (
                "encoder.layer.{b}.attention.attention.value.*",
                "blocks.{b}.attn.v.*",
            ),
            (
                "encoder.layer.{b}.attention.output.dense.*",
                "blocks.{b}.attn.proj.*",
            ),
            ("encoder.layer.{b}.layernorm_after.*", "blocks.{b}.norm2.*"),
            (
                "encoder.layer.{b}.intermediate.dense.*",
                "blocks.{b}.mlp.fc1.*",
            ),
            ("encoder.layer.{b}.output.dense.*", "blocks.{b}.mlp.fc2.*"),
            ("layernorm.*", "norm.*"),
            ("pooler.*", ""),
            ("classifier.*", ""),
        ],
        variance: nothing,
    },
    Scheme {
        name: "transformers' DINOv2",
        prefix: &["dinov2.", "dinov2_with_registers."],
        rules: &[
            ("embeddings.cls_token", "cls_token"),
            ("embeddings.register_tokens", "reg_token"),
            ("embeddings.position_embeddings", "pos_embed"),
            (
                "embeddings.patch_embeddings.projection.*",
                "patch_embed.proj.*",
            ),
            ("embeddings.mask_token", ""),
            ("encoder.layer.{b}.norm{i}.*", "blocks.{b}.norm{i}.*"),
            (
                "encoder.layer.{b}.attention.attention.query.*",
                "blocks.{b}.attn.q.*",
            ),
            (
                "encoder.layer.{b}.attention.attention.key.*",
                "blocks.{b}.attn.k.*",
            ),
            (
                "encoder.layer.{b}.attention.attention.value.*",
                "blocks.{b}.attn.v.*",
            ),
            (
                "encoder.layer.{b}.attention.output.dense.*",
                "blocks.{b}.attn.proj.*",
            ),
            (
                "encoder.layer.{b}.layer_scale{i}.lambda1",
                "blocks.{b}.ls{i}.gamma",
            ),
            ("encoder.layer.{b}.mlp.weights_in.*", "blocks.{b}.mlp.fc1.*"),
            (
                "encoder.layer.{b}.mlp.weights_out.*",
                "blocks.{b}.mlp.fc2.*",
            ),
            ("encoder.layer.{b}.mlp.*", "blocks.{b}.mlp.*"),
            ("layernorm.*", "norm.*"),
            ("classifier.*", ""),
        ],
        variance: nothing,
    },
    Scheme {
        name: "transformers' ConvNeXt",
        prefix: &["convnext.", "convnextv2."],
        rules: &[
            ("embeddings.patch_embeddings.*", "stem.0.*"),
            ("embeddings.layernorm.*", "stem.1.*"),
            (
                "encoder.stages.{s}.downsampling_layer.*",
                "stages.{s}.downsample.*",
            ),
            (
                "encoder.stages.{s}.layers.{b}.dwconv.*",
                "stages.{s}.blocks.{b}.conv_dw.*",
            ),
            (
                "encoder.stages.{s}.layers.{b}.layernorm.*",
                "stages.{s}.blocks.{b}.norm.*",
            ),
            (
                "encoder.stages.{s}.layers.{b}.pwconv{i}.*",
                "stages.{s}.blocks.{b}.mlp.fc{i}.*",
            ),
            (
                "encoder.stages.{s}.layers.{b}.grn.*",
                "stages.{s}.blocks.{b}.mlp.grn.*",
            ),
            (
                "encoder.stages.{s}.layers.{b}.layer_scale_parameter",
                "stages.{s}.blocks.{b}.gamma",
            ),
            ("layernorm.*", "head.norm.*"),
            ("classifier.*", ""),
        ],
        variance: nothing,
    },
    Scheme {
        name: "transformers' Swin",
        prefix: &["swin."],
        rules: &[
            (
                "embeddings.patch_embeddings.projection.*",
                "patch_embed.proj.*",
            ),
            ("embeddings.norm.*", "patch_embed.norm.*"),
            ("embeddings.mask_token", ""),
            (
                "encoder.layers.{s}.blocks.{b}.layernorm_before.*",
                "layers.{s}.blocks.{b}.norm1.*",
            ),
            (
                "encoder.layers.{s}.blocks.{b}.attention.self.query.*",
                "layers.{s}.blocks.{b}.attn.q.*",
            ),
            (
                "encoder.layers.{s}.blocks.{b}.attention.self.key.*",
                "layers.{s}.blocks.{b}.attn.k.*",
            ),
            (
                "encoder.layers.{s}.blocks.{b}.attention.self.value.*",
                "layers.{s}.blocks.{b}.attn.v.*",
            ),
            (
                "encoder.layers.{s}.blocks.{b}.attention.self.*",
                "layers.{s}.blocks.{b}.attn.*",
            ),
            (
                "encoder.layers.{s}.blocks.{b}.attention.output.dense.*",
                "layers.{s}.blocks.{b}.attn.proj.*",
            ),
            (
                "encoder.layers.{s}.blocks.{b}.layernorm_after.*",
                "layers.{s}.blocks.{b}.norm2.*",
            ),
            (
                "encoder.layers.{s}.blocks.{b}.intermediate.dense.*",
                "layers.{s}.blocks.{b}.mlp.fc1.*",
            ),
            (
                "encoder.layers.{s}.blocks.{b}.output.dense.*",
                "layers.{s}.blocks.{b}.mlp.fc2.*",
            ),
            // Between two stages: timm counts it to the later one.
            (
                "encoder.layers.{s}.downsample.*",
                "layers.{s+1}.downsample.*",
            ),
            ("layernorm.*", "norm.*"),
            ("classifier.*", ""),
        ],
        variance: nothing,
    },
    Scheme {
        name: "transformers' ResNet",
        prefix: &["resnet."],
        rules: &[
            ("embedder.embedder.convolution.*", "conv1.*"),
            ("embedder.embedder.normalization.*", "bn1.*"),
            (
                "encoder.stages.{s}.layers.{b}.shortcut.convolution.*",
                "layer{s+1}.{b}.downsample.0.*",
            ),
            (
                "encoder.stages.{s}.layers.{b}.shortcut.normalization.*",
                "layer{s+1}.{b}.downsample.1.*",
            ),
            (
                "encoder.stages.{s}.layers.{b}.layer.{i}.convolution.*",
                "layer{s+1}.{b}.conv{i+1}.*",
            ),
            (
                "encoder.stages.{s}.layers.{b}.layer.{i}.normalization.*",
                "layer{s+1}.{b}.bn{i+1}.*",
            ),
            ("classifier.*", ""),
        ],
        variance: nothing,
    },
];
