//! Image backbones: from pixels to features. One file a family, tensors named as in timm.

mod convnext;
mod efficientnet;
mod resnet;
mod vit;

use crate::error::{Error, Result};
use crate::input::{InputSpec, Interpolation};
use crate::layers::Mode;
use candle_core::Tensor;
use candle_nn::VarBuilder;
pub use convnext::ConvNext;
pub use efficientnet::EfficientNet;
pub use resnet::ResNet;
use serde::{Deserialize, Serialize};
pub use vit::VisionTransformer;

/// A network from normalised images to features.
pub trait Backbone: Send + Sync {
    /// Width of the features.
    fn num_features(&self) -> usize;

    /// The features.
    ///
    /// # Shapes
    /// `images` `(batch, 3, H, W)`; result `(batch, num_features)`.
    ///
    /// # Errors
    /// If the shape does not fit.
    fn features(&self, images: &Tensor, mode: Mode) -> candle_core::Result<Tensor>;
}

/// The architectures that can be built, by timm's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// EfficientNet-Lite0 with TensorFlow's padding and batch-norm constants.
    #[serde(rename = "tf_efficientnet_lite0")]
    TfEfficientnetLite0,
    /// MobileNetV2.
    #[serde(rename = "mobilenetv2_100")]
    MobilenetV2,
    /// ResNet-18.
    #[serde(rename = "resnet18")]
    Resnet18,
    /// ConvNeXt-Atto.
    #[serde(rename = "convnext_atto")]
    ConvnextAtto,
    /// ViT-Tiny with patches of 16; photos of any whole number of patches.
    #[serde(rename = "vit_tiny_patch16_224")]
    VitTiny,
}

impl Architecture {
    /// Every architecture.
    pub const ALL: [Self; 5] = [
        Self::TfEfficientnetLite0,
        Self::MobilenetV2,
        Self::Resnet18,
        Self::ConvnextAtto,
        Self::VitTiny,
    ];

    /// timm's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::TfEfficientnetLite0 => "tf_efficientnet_lite0",
            Self::MobilenetV2 => "mobilenetv2_100",
            Self::Resnet18 => "resnet18",
            Self::ConvnextAtto => "convnext_atto",
            Self::VitTiny => "vit_tiny_patch16_224",
        }
    }

    /// The architecture of a name.
    ///
    /// # Errors
    /// [`Error::UnknownName`] listing those there are.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|a| a.name() == name)
            .ok_or_else(|| Error::UnknownName {
                what: "backbone",
                found: name.into(),
                known: Self::ALL.iter().map(|a| a.name().to_string()).collect(),
            })
    }

    /// Width of the features.
    pub fn num_features(self) -> usize {
        match self {
            Self::TfEfficientnetLite0 | Self::MobilenetV2 => 1280,
            Self::Resnet18 => 512,
            Self::ConvnextAtto => 320,
            Self::VitTiny => 192,
        }
    }

    /// The input its pretrained weights were made for.
    pub fn input(self) -> InputSpec {
        let mut input = InputSpec {
            interpolation: Interpolation::Bicubic,
            ..InputSpec::default()
        };
        // Mean and deviation of ImageNet, where the weights were not made for the default's halves.
        if matches!(
            self,
            Self::MobilenetV2 | Self::Resnet18 | Self::ConvnextAtto
        ) {
            input.mean = [0.485, 0.456, 0.406];
            input.std = [0.229, 0.224, 0.225];
        }
        input
    }

    /// The stages from input to output, each the prefixes of its tensors; what "fine-tune the last n stages" counts.
    pub fn stages(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::TfEfficientnetLite0 | Self::MobilenetV2 => &[
                &["conv_stem.", "bn1."],
                &["blocks.0."],
                &["blocks.1."],
                &["blocks.2."],
                &["blocks.3."],
                &["blocks.4."],
                &["blocks.5."],
                &["blocks.6."],
                &["conv_head.", "bn2."],
            ],
            Self::Resnet18 => &[
                &["conv1.", "bn1."],
                &["layer1."],
                &["layer2."],
                &["layer3."],
                &["layer4."],
            ],
            Self::ConvnextAtto => &[
                &["stem."],
                &["stages.0."],
                &["stages.1."],
                &["stages.2."],
                &["stages.3.", "head.norm."],
            ],
            Self::VitTiny => &[
                &["cls_token", "pos_embed", "patch_embed."],
                &["blocks.0."],
                &["blocks.1."],
                &["blocks.2."],
                &["blocks.3."],
                &["blocks.4."],
                &["blocks.5."],
                &["blocks.6."],
                &["blocks.7."],
                &["blocks.8."],
                &["blocks.9."],
                &["blocks.10."],
                &["blocks.11.", "norm."],
            ],
        }
    }

    /// Builds it over the tensors or variables of `vb`; `drop_path` is the rate of the last block, earlier ones grow linearly
    /// towards it.
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn build(self, vb: VarBuilder, drop_path: f32) -> candle_core::Result<Box<dyn Backbone>> {
        Ok(match self {
            Self::TfEfficientnetLite0 => Box::new(EfficientNet::lite0(vb, drop_path)?),
            Self::MobilenetV2 => Box::new(EfficientNet::mobilenet_v2(vb, drop_path)?),
            Self::Resnet18 => Box::new(ResNet::resnet18(vb, drop_path)?),
            Self::ConvnextAtto => Box::new(ConvNext::atto(vb, drop_path)?),
            Self::VitTiny => Box::new(VisionTransformer::tiny(vb, drop_path)?),
        })
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
