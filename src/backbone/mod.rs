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
pub use vit::VisionTransformer;
use serde::{Deserialize, Serialize};

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
}

impl Architecture {
    /// Every architecture.
    pub const ALL: [Self; 1] = [Self::TfEfficientnetLite0];

    /// timm's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::TfEfficientnetLite0 => "tf_efficientnet_lite0",
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
            Self::TfEfficientnetLite0 => 1280,
        }
    }

    /// The input its pretrained weights were made for.
    pub fn input(self) -> InputSpec {
        match self {
            Self::TfEfficientnetLite0 => InputSpec {
                interpolation: Interpolation::Bicubic,
                ..InputSpec::default()
            },
        }
    }

    /// The stages from input to output, each the prefixes of its tensors; what "fine-tune the last n stages" counts.
    pub fn stages(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::TfEfficientnetLite0 => &[
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
        })
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
