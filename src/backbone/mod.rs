//! Image backbones: from pixels to features. One file a family, tensors named as in timm.

mod convnext;
mod efficientnet;
mod inverted;
mod mobilenet;
mod repvgg;
mod resnet;
mod swin;
mod vit;

use crate::error::{Error, Result};
use crate::input::{InputSpec, Interpolation};
use crate::layers::Mode;
use crate::ops::{Map, Tape, in_pool};
use candle_core::Tensor;
use candle_nn::VarBuilder;
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

    /// From now on, keeps what backward needs in this way. Of no effect on a backbone that leaves it to candle's graph.
    fn set_activations(&mut self, _activations: Activations) {}

    /// From now on, running statistics move towards a batch's by this share; `None`: by that of each layer. Of no effect on a
    /// backbone without such statistics.
    fn set_momentum(&mut self, _momentum: Option<f64>) {}

    /// The outputs of its stages, in order, without history: one for each of [`Architecture::stages`].
    ///
    /// # Shapes
    /// `images` `(batch, 3, H, W)`; results `(batch, channels, H', W')`, of a transformer `(batch, channels, 1, tokens)`.
    ///
    /// # Errors
    /// If the shape does not fit, or the backbone has no stages to show.
    fn feature_maps(&self, _images: &Tensor, _mode: Mode) -> candle_core::Result<Vec<Tensor>> {
        candle_core::bail!("this backbone does not show its stages")
    }
}

/// How the values that backward needs are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activations {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bfloat16: half the memory, gradients off by about 2⁻⁹ of their size. The forward pass is not rounded.
    Bf16,
}

/// What a network calls with the output of each stage.
pub(crate) type Each<'a> = dyn FnMut(&mut Tape, &Map) -> candle_core::Result<()> + 'a;

/// A network recorded on a tape.
pub(crate) trait Network: Send + Sync {
    /// From images to features, a map of 1 × 1; `each` sees the output of each stage.
    fn run(
        &self,
        tape: &mut Tape,
        images: &Map,
        mode: Mode,
        each: &mut Each,
    ) -> candle_core::Result<Map>;
}

/// A network as a backbone.
struct OnTape {
    network: Box<dyn Network>,
    num_features: usize,
    activations: Activations,
    momentum: Option<f64>,
    /// [`Tape::new`], or [`Tape::composed`].
    tape: fn(&Tensor) -> candle_core::Result<(Tape, Map)>,
}

impl Backbone for OnTape {
    fn num_features(&self) -> usize {
        self.num_features
    }

    fn features(&self, images: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        in_pool(|| {
            let (mut tape, x) = (self.tape)(images)?;
            if self.activations == Activations::Bf16 {
                tape.round_kept_values();
            }
            tape.momentum = self.momentum;
            let x = self.network.run(&mut tape, &x, mode, &mut |tape, _| {
                tape.stage_done();
                Ok(())
            })?;
            tape.finish(&x)?.flatten_from(1)
        })
    }

    fn set_activations(&mut self, activations: Activations) {
        self.activations = activations;
    }

    fn set_momentum(&mut self, momentum: Option<f64>) {
        self.momentum = momentum;
    }

    fn feature_maps(&self, images: &Tensor, mode: Mode) -> candle_core::Result<Vec<Tensor>> {
        let (mut tape, x) = (self.tape)(images)?;
        let mut maps = Vec::new();
        self.network.run(&mut tape, &x, mode, &mut |tape, map| {
            maps.push(tape.tensor(map)?);
            tape.stage_done();
            Ok(())
        })?;
        Ok(maps)
    }
}

/// One architecture: what is known of it without building it, and how it is built.
pub(crate) struct Variant {
    /// timm's name.
    pub name: &'static str,
    /// The tag of its usual pretrained weights: timm's file on the Hub is `timm/<name>.<tag>`. Empty: there are none.
    pub tag: &'static str,
    pub num_features: usize,
    /// The side of the square images its pretrained weights were made for, and the share of the photo's shorter side they show.
    pub side: usize,
    pub crop_pct: f64,
    pub interpolation: Interpolation,
    /// Mean and deviation of each channel.
    pub norm: [[f32; 3]; 2],
    /// Prefixes of the tensors of each stage, from input to output.
    pub stages: fn() -> Vec<Vec<String>>,
    pub build: fn(&VarBuilder, f32) -> candle_core::Result<Box<dyn Network>>,
}

/// Mean and deviation of ImageNet.
const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

/// From −1 to 1.
const HALVES: [[f32; 3]; 2] = [[0.5; 3]; 2];

/// TensorFlow's for EfficientNet-Lite, (x − 127) / 128 on the scale 0–255; timm rounds them to halves.
const LITE: [[f32; 3]; 2] = [[127.0 / 255.0; 3], [128.0 / 255.0; 3]];

/// The families, each a list of variants.
const FAMILIES: &[&[Variant]] = &[
    efficientnet::VARIANTS,
    mobilenet::VARIANTS,
    resnet::VARIANTS,
    repvgg::VARIANTS,
    convnext::VARIANTS,
    vit::VARIANTS,
    swin::VARIANTS,
];

/// `first`, then `prefix0.`, `prefix1.`, … , then `last`: the stages of many networks.
fn numbered(first: &[&str], prefix: &str, count: usize, last: &[&str]) -> Vec<Vec<String>> {
    let owned = |names: &[&str]| names.iter().map(|n| (*n).to_string()).collect::<Vec<_>>();
    let mut stages = vec![owned(first)];
    stages.extend((0..count).map(|i| vec![format!("{prefix}{i}.")]));
    stages.push(owned(last));
    stages.retain(|s| !s.is_empty());
    stages
}

/// An architecture that can be built, called by timm's name.
#[derive(Clone, Copy)]
pub struct Architecture(&'static Variant);

impl Architecture {
    /// Every architecture, family by family.
    pub fn all() -> impl Iterator<Item = Self> {
        FAMILIES.iter().copied().flatten().map(Self)
    }

    /// timm's name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The architecture of a name.
    ///
    /// # Errors
    /// [`Error::UnknownName`] listing those there are.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::all()
            .find(|a| a.name() == name)
            .ok_or_else(|| Error::UnknownName {
                what: "backbone",
                found: name.into(),
                known: Self::all().map(|a| a.name().to_string()).collect(),
            })
    }

    /// Width of the features.
    pub fn num_features(self) -> usize {
        self.0.num_features
    }

    /// timm's tag of its usual pretrained weights; empty if there are none.
    pub fn tag(self) -> &'static str {
        self.0.tag
    }

    /// The name of its usual pretrained weights on the Hub, `timm/<name>.<tag>`, if there are any.
    pub fn hub_name(self) -> Option<String> {
        let Variant { name, tag, .. } = self.0;
        (!tag.is_empty()).then(|| format!("timm/{name}.{tag}"))
    }

    /// The input its pretrained weights were made for.
    pub fn input(self) -> InputSpec {
        let [mean, std] = self.0.norm;
        InputSpec {
            size: [self.0.side; 2],
            interpolation: self.0.interpolation,
            mean,
            std,
            ..InputSpec::default()
        }
    }

    /// The share of a photo's shorter side that its pretrained weights' evaluation shows.
    pub fn crop_pct(self) -> f64 {
        self.0.crop_pct
    }

    /// The stages from input to output, each the prefixes of its tensors; what "fine-tune the last n stages" counts.
    pub fn stages(self) -> Vec<Vec<String>> {
        (self.0.stages)()
    }

    /// Builds it over the tensors or variables of `vb`; `drop_path` is the rate of the last block, earlier ones grow linearly
    /// towards it.
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn build(self, vb: VarBuilder, drop_path: f32) -> candle_core::Result<Box<dyn Backbone>> {
        self.build_on(vb, drop_path, Tape::new)
    }

    /// The same without own kernels, as it runs on devices that hydranet has none for.
    #[doc(hidden)]
    pub fn build_composed(
        self,
        vb: VarBuilder,
        drop_path: f32,
    ) -> candle_core::Result<Box<dyn Backbone>> {
        self.build_on(vb, drop_path, Tape::composed)
    }

    fn build_on(
        self,
        vb: VarBuilder,
        drop_path: f32,
        tape: fn(&Tensor) -> candle_core::Result<(Tape, Map)>,
    ) -> candle_core::Result<Box<dyn Backbone>> {
        Ok(Box::new(OnTape {
            network: (self.0.build)(&vb, drop_path)?,
            num_features: self.0.num_features,
            activations: Activations::default(),
            momentum: None,
            tape,
        }))
    }
}

impl PartialEq for Architecture {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Architecture {}

impl std::fmt::Debug for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Architecture({})", self.0.name)
    }
}

impl Serialize for Architecture {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Architecture {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).map_err(serde::de::Error::custom)
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
