//! Image backbones: from pixels to features. One file a family, tensors named as in timm; and an [adapter] for candle's networks.

pub mod adapter;
mod branch;
mod channels;
mod convnext;
mod efficientnet;
pub(crate) mod eight_bits;
mod fastvit;
mod inverted;
mod maps;
mod mobilenet;
mod repvgg;
mod resnet;
mod shapes;
mod swin;
mod transformer;
mod vit;

use crate::error::{Error, Result};
use crate::input::{InputSpec, Interpolation};
use crate::layers::Mode;
use crate::tape::internal::{Attended, Watch};
use crate::tape::{Map, Tape};
use adapter::Entry;
pub(crate) use branch::Branch;
use branch::OwnStages;
use candle_core::Tensor;
use candle_nn::VarBuilder;
use hydranet_kernels::tasks::in_pool;
pub(crate) use maps::{Reading, ShownMap};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A network from normalised images to features. Its methods speak candle's `Result`, as its operators and layers do, so that `?`
/// needs no conversion in their bodies; a model gives such an error on as [`Error::Candle`].
pub trait Backbone: Send + Sync {
    /// Width of the features.
    fn num_features(&self) -> usize;

    /// The features. In [`Mode::Train`] batch norms may use the batch's statistics; the trainer runs a frozen backbone of your
    /// own in [`Mode::Eval`].
    ///
    /// # Shapes
    /// `images` `(batch, channels, H, W)`, channels 3 unless it is built for others; result `(batch, num_features)`.
    ///
    /// # Errors
    /// If the shape does not fit.
    fn features(&self, images: &Tensor, mode: Mode) -> candle_core::Result<Tensor>;

    /// From now on, keeps what backward needs in this way. Of no effect on a backbone that leaves it to candle's graph.
    fn set_activations(&mut self, _activations: SavedActivations) {}

    /// From now on, running statistics move towards a batch's by this share; `None`: by that of each layer. Of no effect on a
    /// backbone without such statistics.
    fn set_momentum(&mut self, _momentum: Option<f64>) {}

    /// From now on, passes are seen while they run. Of no effect on a backbone that is not made of a tape's steps.
    #[doc(hidden)]
    fn set_watch(&mut self, _watch: Option<Arc<dyn Watch>>) {}

    /// Its steps on a tape that is given, for prediction.
    ///
    /// # Shapes
    /// `images` as in [`features`](Self::features); the result is a map of 1 × 1 with `num_features` channels.
    ///
    /// # Errors
    /// If the shape does not fit, or the backbone is not made of a tape's steps.
    fn on_tape(&self, _tape: &mut Tape, _images: &Map) -> candle_core::Result<Map> {
        candle_core::bail!("this backbone is not made of a tape's steps")
    }

    /// Features that depend on the output of stage `place`, counted as [`feature_maps`](Self::feature_maps) gives them: `offset`
    /// `(batch, H', W', channels)` is added to it. With a variable of zeros its gradient is that at the map.
    #[doc(hidden)]
    fn features_from(
        &self,
        _images: &Tensor,
        _place: usize,
        _offset: &Tensor,
    ) -> candle_core::Result<Tensor> {
        candle_core::bail!("this backbone does not show its stages")
    }

    /// Features, and what each attention was that they depend on, in order; none of a backbone without attention of all
    /// positions to each other.
    #[doc(hidden)]
    fn features_attended(&self, _images: &Tensor) -> candle_core::Result<(Tensor, Vec<Attended>)> {
        candle_core::bail!("this backbone does not show its attention")
    }

    /// The outputs of its stages, in order, without history: one a stage.
    ///
    /// # Shapes
    /// `images` `(batch, channels, H, W)`, channels 3 unless it is built for others; results `(batch, channels, H', W')`, of a
    /// transformer `(batch, channels, 1, tokens)`.
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
#[non_exhaustive]
pub enum SavedActivations {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bfloat16, half the bytes a value; the forward pass is not rounded. Transformers and ConvNeXt need less memory
    /// so, networks of many sizes of maps may need more: buffers are kept for use again by size.
    Bf16,
}

/// What a network calls with the output of each stage, and may put another in its place.
pub(crate) type Each<'a> = dyn FnMut(&mut Tape, &mut Map) -> candle_core::Result<()> + 'a;

/// A network recorded on a tape.
pub(crate) trait Network: Send + Sync {
    /// From images to features, a map of 1 × 1; `each` sees the output of each stage. With a `start` above 0 from the output of
    /// stage `start`, counted from 1, in place of images: the stages up to there are left out.
    fn run(
        &self,
        tape: &mut Tape,
        from: (&Map, usize),
        mode: Mode,
        each: &mut Each,
    ) -> candle_core::Result<Map>;

    /// What comes behind its stages before the features are pooled.
    fn behind(&self) -> Behind {
        Behind::Nothing
    }

    /// The place of the map that it pools among the outputs of so many stages.
    fn last_map(&self, stages: usize) -> usize {
        match self.behind() {
            Behind::Nothing | Behind::Conv => stages - 1,
            Behind::Pooling => stages - 2,
        }
    }

    /// An output of a stage as heads read it: without tokens of its own, and the `last` behind the norm that the network has
    /// there.
    fn shown(&self, _tape: &mut Tape, map: &Map, _last: bool) -> candle_core::Result<Map> {
        Ok(map.clone())
    }
}

/// Of what the last output is that [`Network::run`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// Of the last stage, whose map is pooled.
    Nothing,
    /// Of a convolution, whose map is pooled.
    Conv,
    /// Of a layer behind the pooling.
    Pooling,
}

/// A network as a backbone.
struct OnTape {
    network: Box<dyn Network>,
    num_features: usize,
    /// What stands behind the features in their rows.
    readings: Vec<Reading>,
    /// What stands behind those: private copies of the last stages.
    branches: Vec<OwnStages>,
    activations: SavedActivations,
    momentum: Option<f64>,
    watch: Option<Arc<dyn Watch>>,
    /// [`Tape::new`], or [`Tape::composed`].
    tape: NewTape,
}

impl Backbone for OnTape {
    fn num_features(&self) -> usize {
        self.num_features
    }

    fn features(&self, images: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let run = || {
            let (mut tape, x) = (self.tape)(images)?;
            if self.activations == SavedActivations::Bf16 {
                tape.round_kept_values();
            }
            tape.momentum = self.momentum;
            if let Some(watch) = &self.watch {
                tape.set_watch(watch)?;
            }
            let on = (&mut tape, &x);
            let x = maps::run(
                self.network.as_ref(),
                (&self.readings, &self.branches),
                on,
                mode,
                &mut |tape, _| {
                    tape.stage_done();
                    Ok(())
                },
            )?;
            tape.finish(&x)?.flatten_from(1)
        };
        match &self.watch {
            // A pass that waits for other parts of its batch keeps no thread of the pool from them.
            Some(watch) if watch.shares_statistics() => run(),
            _ => in_pool(run),
        }
    }

    fn features_from(
        &self,
        images: &Tensor,
        place: usize,
        offset: &Tensor,
    ) -> candle_core::Result<Tensor> {
        in_pool(|| {
            let (mut tape, x) = (self.tape)(images)?;
            let on = (&mut tape, &x);
            let mut stage = 0;
            let each = &mut |tape: &mut Tape, map: &mut Map| {
                if stage == place {
                    *map = tape.offset(map, offset)?;
                }
                stage += 1;
                Ok(())
            };
            let beside = (self.readings.as_slice(), self.branches.as_slice());
            let x = maps::run(self.network.as_ref(), beside, on, Mode::Eval, each)?;
            tape.finish(&x)?.flatten_from(1)
        })
    }

    fn features_attended(&self, images: &Tensor) -> candle_core::Result<(Tensor, Vec<Attended>)> {
        in_pool(|| {
            let (mut tape, x) = (self.tape)(images)?;
            tape.watch_attention();
            let x = self.on_tape(&mut tape, &x)?;
            let attended = tape.attended();
            Ok((tape.finish(&x)?.flatten_from(1)?, attended))
        })
    }

    fn on_tape(&self, tape: &mut Tape, images: &Map) -> candle_core::Result<Map> {
        let on = (tape, images);
        let none = &mut |_: &mut Tape, _: &mut Map| Ok(());
        let beside = (self.readings.as_slice(), self.branches.as_slice());
        maps::run(self.network.as_ref(), beside, on, Mode::Eval, none)
    }

    fn set_activations(&mut self, activations: SavedActivations) {
        self.activations = activations;
    }

    fn set_momentum(&mut self, momentum: Option<f64>) {
        self.momentum = momentum;
    }

    fn set_watch(&mut self, watch: Option<Arc<dyn Watch>>) {
        self.watch = watch;
    }

    fn feature_maps(&self, images: &Tensor, mode: Mode) -> candle_core::Result<Vec<Tensor>> {
        let (mut tape, x) = (self.tape)(images)?;
        let mut maps = Vec::new();
        self.network
            .run(&mut tape, (&x, 0), mode, &mut |tape, map| {
                maps.push(tape.tensor(map)?);
                tape.stage_done();
                Ok(())
            })?;
        Ok(maps)
    }
}

/// What stands behind the features in their rows: maps, and private copies of the last stages.
type Beside<'a> = (&'a [Reading], &'a [(Branch, VarBuilder<'a>)]);

/// A tape over images.
type NewTape = fn(&Tensor) -> candle_core::Result<(Tape, Map)>;

/// One architecture: what is known of it without building it, and how it is built.
pub(crate) struct Variant {
    /// timm's name.
    pub name: &'static str,
    /// The tag of its usual pretrained weights: timm's file on the Hub is `timm/<name>.<tag>`. Empty: there are none.
    pub tag: &'static str,
    /// The licence of those weights, in timm's words.
    pub licence: &'static str,
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
    fastvit::VARIANTS,
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

/// An architecture that can be built: one of this library's own, called by timm's name, or one plugged in by an [`adapter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture(Known);

#[derive(Clone, Copy)]
enum Known {
    Own(&'static Variant),
    Plugged(&'static Entry),
}

impl Known {
    fn name(self) -> &'static str {
        match self {
            Self::Own(variant) => variant.name,
            Self::Plugged(entry) => entry.name,
        }
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Known {}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Architecture {
    /// Every architecture of this library's own, family by family; those plugged in apart.
    pub fn all() -> impl Iterator<Item = Self> {
        let own = FAMILIES.iter().copied().flatten();
        own.map(|variant| Self(Known::Own(variant)))
    }

    /// Its name; timm's, of this library's own.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// What is known of it, if it is plugged in.
    pub(crate) fn entry(self) -> Option<&'static Entry> {
        match self.0 {
            Known::Own(_) => None,
            Known::Plugged(entry) => Some(entry),
        }
    }

    /// The architecture of a name.
    ///
    /// # Errors
    /// [`Error::UnknownName`] listing those there are.
    pub fn from_name(name: &str) -> Result<Self> {
        let plugged = adapter::entries();
        let plugged = plugged.into_iter().map(|entry| Self(Known::Plugged(entry)));
        let known: Vec<Self> = Self::all().chain(plugged).collect();
        let found = known.iter().find(|a| a.name() == name);
        found.copied().ok_or_else(|| Error::UnknownName {
            what: "backbone",
            found: name.into(),
            known: known.iter().map(|a| a.name().to_string()).collect(),
        })
    }

    /// Width of the features.
    pub fn num_features(self) -> usize {
        match self.0 {
            Known::Own(variant) => variant.num_features,
            Known::Plugged(entry) => entry.num_features,
        }
    }

    /// The licence of its usual pretrained weights, in timm's words; empty if there are none, or if it is plugged in.
    pub fn licence(self) -> &'static str {
        match self.0 {
            Known::Own(variant) => variant.licence,
            Known::Plugged(_) => "",
        }
    }

    /// The name of its usual pretrained weights on the Hub, if there are any: `timm/<name>.<tag>`, of this library's own.
    pub fn hub_name(self) -> Option<String> {
        match self.0 {
            Known::Own(Variant { name, tag, .. }) => {
                (!tag.is_empty()).then(|| format!("timm/{name}.{tag}"))
            }
            Known::Plugged(Entry { weights, .. }) => {
                (!weights.is_empty()).then(|| (*weights).to_string())
            }
        }
    }

    /// The input its pretrained weights were made for.
    pub fn input(self) -> InputSpec {
        let (side, interpolation, [mean, std]) = match self.0 {
            Known::Own(v) => (v.side, v.interpolation, v.norm),
            Known::Plugged(entry) => return entry.input(),
        };
        InputSpec {
            size: [side; 2],
            interpolation,
            mean,
            std,
            ..InputSpec::default()
        }
    }

    /// Checks that it takes images of `size` = `[height, width]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the sizes it takes.
    pub(crate) fn check_size(self, size: [usize; 2]) -> Result<()> {
        self.entry().map_or(Ok(()), |entry| entry.check_size(size))
    }

    /// The share of a photo's shorter side that its pretrained weights' evaluation shows: what to give as
    /// [`InputSpec::crop_pct`] to see photos as it does. [`input`](Self::input) does not: it shows whole photos.
    pub fn crop_pct(self) -> f64 {
        match self.0 {
            Known::Own(variant) => variant.crop_pct,
            Known::Plugged(entry) => entry.crop_pct,
        }
    }

    /// The stages from input to output, each the prefixes of its tensors; what "fine-tune the last n stages" counts.
    pub(crate) fn stages(self) -> Vec<Vec<String>> {
        match self.0 {
            Known::Own(variant) => (variant.stages)(),
            Known::Plugged(entry) => (entry.stages)(),
        }
    }

    /// Builds it over the tensors or variables of `vb`; `drop_path` is the rate of the last block, earlier ones grow linearly
    /// towards it; those plugged in have none.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `drop_path` is not from 0 to below 1, [`Error::Candle`] if `vb` lacks a tensor.
    pub fn build(self, vb: VarBuilder, drop_path: f32) -> Result<Box<dyn Backbone>> {
        self.build_for(3, vb, drop_path)
    }

    /// The same for images `(batch, channels, H, W)`: its first convolution has weights over so many channels. Those of
    /// pretrained weights become such by `adapt_input_conv`.
    ///
    /// # Errors
    /// As [`build`](Self::build); [`Error::Invalid`] if there are not 1, 3 or 4 channels.
    pub fn build_for(
        self,
        channels: usize,
        vb: VarBuilder,
        drop_path: f32,
    ) -> Result<Box<dyn Backbone>> {
        self.build_reading(channels, vb, drop_path, (&[], &[]))
    }

    /// The same with maps behind the features in their rows, and behind those what private copies of the last stages make, whose
    /// tensors are of the `VarBuilder`s beside them; without any they are what [`build_for`](Self::build_for) gives.
    pub(crate) fn build_reading(
        self,
        channels: usize,
        vb: VarBuilder,
        drop_path: f32,
        beside: Beside,
    ) -> Result<Box<dyn Backbone>> {
        let fail = |what: &str, expected: &str, found: String| {
            Err(Error::Invalid {
                what: what.into(),
                expected: expected.into(),
                found,
            })
        };
        if ![1, 3, 4].contains(&channels) {
            return fail("a backbone's channels", "1, 3 or 4", channels.to_string());
        }
        if !(0.0..1.0).contains(&drop_path) {
            let expected = "a number from 0 to below 1";
            return fail("drop_path", expected, drop_path.to_string());
        }
        Ok(self.build_on(channels, vb, drop_path, (beside, Tape::new))?)
    }

    /// [`build`](Self::build) without own kernels, as it runs on devices that hydranet has none for.
    #[doc(hidden)]
    pub fn build_composed(self, vb: VarBuilder, drop_path: f32) -> Result<Box<dyn Backbone>> {
        Ok(self.build_on(3, vb, drop_path, ((&[], &[]), Tape::composed))?)
    }

    fn build_on(
        self,
        channels: usize,
        vb: VarBuilder,
        drop_path: f32,
        ((readings, branches), tape): (Beside, NewTape),
    ) -> candle_core::Result<Box<dyn Backbone>> {
        let vb = channels::of_images(vb, channels);
        match self.0 {
            Known::Own(variant) => Ok(Box::new(OnTape {
                network: (variant.build)(&vb, drop_path)?,
                num_features: variant.num_features,
                readings: readings.to_vec(),
                branches: branches
                    .iter()
                    .map(|(branch, own)| OwnStages::new(variant, branch, (&vb, own), drop_path))
                    .collect::<candle_core::Result<_>>()?,
                activations: SavedActivations::default(),
                momentum: None,
                watch: None,
                tape,
            })),
            Known::Plugged(entry) => entry.build(vb),
        }
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

#[cfg(all(test, feature = "cli"))]
#[path = "../../tests/backbone/mod.rs"]
mod tests;
