//! The names of Luke Melas-Kyriazi's `efficientnet_pytorch`. Its networks pad as TensorFlow's: timm's `tf_efficientnet_…`.

use super::{Scheme, nothing};

pub(super) const SCHEMES: &[Scheme] = &[Scheme {
    name: "efficientnet_pytorch",
    prefix: &[],
    rules: &[
        ("_conv_stem.*", "conv_stem.*"),
        ("_bn0.*", "bn1.*"),
        ("_blocks.{b}._expand_conv.*", "blocks.[b].conv_pw.*"),
        ("_blocks.{b}._bn0.*", "blocks.[b].bn1.*"),
        ("_blocks.{b}._depthwise_conv.*", "blocks.[b].conv_dw.*"),
        ("_blocks.{b}._bn1.*", "blocks.[b].<bn1|bn2>.*"),
        ("_blocks.{b}._se_reduce.*", "blocks.[b].se.conv_reduce.*"),
        ("_blocks.{b}._se_expand.*", "blocks.[b].se.conv_expand.*"),
        (
            "_blocks.{b}._project_conv.*",
            "blocks.[b].<conv_pw|conv_pwl>.*",
        ),
        ("_blocks.{b}._bn2.*", "blocks.[b].<bn2|bn3>.*"),
        ("_conv_head.*", "conv_head.*"),
        ("_bn1.*", "bn2.*"),
        ("_fc.*", ""),
    ],
    variance: nothing,
}];
