//! The model: one backbone, several heads.

pub mod combine;
mod crop;
pub(crate) mod distance;
mod layout;
pub mod novelty;
mod outputs;
mod spec;

use crop::cropped;
pub(crate) use crop::sampled;
pub(crate) use layout::Layout;
pub use outputs::{Logits, Outputs};
pub(crate) use spec::JOINT;
pub use spec::{JointSpec, ModelSpec};

use crate::backbone::{Architecture, Backbone, Branch, SavedActivations};
use crate::error::{Error, Result};
use crate::head::Head;
use crate::layers::Mode;
use crate::tape::internal::Watch;
use crate::tensors::Tensors;
use candle_core::Tensor;
use candle_nn::VarBuilder;
use std::fmt;
use std::sync::Arc;

/// Photos whose whole maps heads pool at once.
const ROWS: usize = 256;

/// The stages that a head has for itself, over `heads.<name>.stages.…` of `vb`.
fn own_stages<'a>(vb: &VarBuilder<'a>, head: &str) -> VarBuilder<'a> {
    vb.pp("heads").pp(head).pp(OWN_STAGES)
}

/// Asks `vb` for the tensors of all stages that heads have for themselves.
///
/// # Errors
/// If the specification is not valid, or `vb` lacks one.
pub(crate) fn ask_own_stages(spec: &ModelSpec, layout: &Layout, vb: &VarBuilder) -> Result<()> {
    for branch in &layout.branches {
        let prefixes = spec.backbone.own_prefixes(branch.stages)?;
        let vb = own_stages(vb, &branch.head);
        for (name, shape) in spec.backbone.shapes(spec.input.channels)? {
            if prefixes.iter().any(|p| name.starts_with(p.as_str())) {
                vb.get(shape, &name)?;
            }
        }
    }
    Ok(())
}

/// Gives every head that has stages for itself and lacks their tensors the backbone's own.
///
/// # Errors
/// If the specification is not valid.
pub(crate) fn copy_own_stages(spec: &ModelSpec, tensors: &mut Tensors) -> Result<()> {
    for head in spec.heads.iter().filter(|h| h.layers.own_stages > 0) {
        let prefixes = spec.backbone.own_prefixes(head.layers.own_stages)?;
        let is_own = |name: &str| prefixes.iter().any(|p| name.starts_with(p.as_str()));
        let copies = tensors.iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix("backbone.").filter(|n| is_own(n))?;
            let name = format!("heads.{}.{OWN_STAGES}.{name}", head.name);
            (!tensors.contains_key(&name)).then(|| (name, tensor.clone()))
        });
        let copies: Vec<(String, Tensor)> = copies.collect();
        tensors.extend(copies);
    }
    Ok(())
}

/// What the names of tensors of stages of a head's own start with, behind `heads.<name>.`.
pub(crate) const OWN_STAGES: &str = "stages";

/// The heads and the joint head over `heads.<name>.…` and `joint.…` of `vb`.
pub(crate) fn heads(
    spec: &ModelSpec,
    layout: &Layout,
    vb: &VarBuilder,
) -> Result<(Vec<Head>, Option<Head>)> {
    let places = spec.heads.iter().zip(&layout.heads).enumerate();
    let heads = places
        .map(|(i, (h, reads))| Head::over(h, reads.clone(), i, vb.pp("heads").pp(&h.name)))
        .collect::<Result<Vec<_>>>()?;
    let joint = match &spec.joint {
        Some(joint) => {
            let (head, reads) = (joint.head(&spec.taxonomy()?), layout.joint.clone());
            Some(Head::over(&head, reads, heads.len(), vb.pp(JOINT))?)
        }
        None => None,
    };
    Ok((heads, joint))
}

/// A backbone that feeds several heads.
///
/// [`features`](Self::features) and [`logits`](Self::logits) are separate, so that features can be kept.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use hydranet::{Architecture, HeadSpec, InputSpec, Mode, ModelSpec, MultiTaskModel};
///
/// let backbone = Architecture::from_name("mobilenetv3_small_100")?;
/// let heads = vec![HeadSpec::new("mask", ["worn", "not_worn"]), HeadSpec::new("age", ["young", "middle", "old"])];
/// let spec = ModelSpec::new(backbone, heads, InputSpec { size: [32, 32], ..backbone.input() });
/// // Over a `VarMap` every tensor is a variable, drawn afresh.
/// let variables = VarMap::new();
/// let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
/// let model = MultiTaskModel::new(&spec, 0.0, &vb)?;
///
/// let images = Tensor::zeros((2, 3, 32, 32), DType::F32, &Device::Cpu)?;
/// let features = model.features(&images, Mode::Eval)?;
/// let logits = model.logits(&features, Mode::Eval)?;
/// assert_eq!(logits.heads[1].dims(), [2, 3]);
/// # Ok::<(), hydranet::Error>(())
/// ```
pub struct MultiTaskModel {
    backbone: Box<dyn Backbone>,
    heads: Vec<Head>,
    /// The head of all final classes beside them.
    joint: Option<Head>,
    /// The heads, each behind those it comes after.
    order: Vec<usize>,
    /// What images it is for, if a specification says so: of so many channels, of sizes that the architecture takes.
    images: Option<(usize, Architecture)>,
    /// The one size of images it is for, if heads read whole maps.
    size: Option<[usize; 2]>,
    /// The parts of images that heads see for themselves.
    crops: Vec<[f64; 4]>,
}

impl fmt::Debug for MultiTaskModel {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("MultiTaskModel")
            .field("num_features", &self.backbone.num_features())
            .field("heads", &self.heads)
            .field("joint", &self.joint)
            .finish_non_exhaustive()
    }
}

impl MultiTaskModel {
    /// Builds it over the tensors or variables of `vb`: `backbone.…` with timm's names, `heads.<name>.…` and `joint.…` as in
    /// [`Head::new`].
    ///
    /// # Errors
    /// If the specification is not valid, or `vb` lacks a tensor.
    pub fn new(spec: &ModelSpec, drop_path: f32, vb: &VarBuilder) -> Result<Self> {
        spec.validate()?;
        Self::built(spec, drop_path, vb.pp("backbone"), vb)
    }

    /// Builds the backbone over the tensors of one `VarBuilder`, named as in timm, and the heads over those of another, named
    /// `heads.<name>.…` and `joint.…`: over a file the backbone is a constant and frozen, over a `VarMap` the heads are trained.
    ///
    /// # Errors
    /// If the specification is not valid, or one of them lacks a tensor.
    pub fn with_builders(
        spec: &ModelSpec,
        backbone: VarBuilder,
        heads: VarBuilder,
    ) -> Result<Self> {
        spec.validate()?;
        Self::built(spec, 0.0, backbone, &heads)
    }

    /// The same of a specification that is valid.
    pub(crate) fn built(
        spec: &ModelSpec,
        drop_path: f32,
        backbone: VarBuilder,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let (channels, layout) = (spec.input.channels, Layout::of(spec)?);
        let own = |branch: &Branch| (branch.clone(), own_stages(vb, &branch.head));
        let branches: Vec<(Branch, VarBuilder)> = layout.branches.iter().map(own).collect();
        let beside = (layout.readings.as_slice(), branches.as_slice());
        let backbone = spec
            .backbone
            .build_reading(channels, backbone, drop_path, beside)?;
        let (heads, joint) = heads(spec, &layout, vb)?;
        Ok(Self {
            images: Some((channels, spec.backbone)),
            size: layout.has_maps().then_some(spec.input.size),
            order: layout.order,
            crops: layout.crops,
            ..Self::of_width(backbone, heads, joint, layout.width)?
        })
    }

    /// A model of a backbone of your own, heads over its features, and a joint head if there is to be one.
    ///
    /// Over candle's `VarMap` it trains with candle's optimisers. A network that configurations and model files shall name is
    /// [registered](crate::backbone::adapter::register) instead.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use candle_nn::{Conv2d, Conv2dConfig, Module, VarBuilder, VarMap};
    /// use hydranet::{Backbone, Head, HeadSpec, Mode, MultiTaskModel};
    ///
    /// struct Patches(Conv2d);
    ///
    /// impl Backbone for Patches {
    ///     fn num_features(&self) -> usize {
    ///         8
    ///     }
    ///
    ///     fn features(&self, images: &Tensor, _: Mode) -> candle_core::Result<Tensor> {
    ///         self.0.forward(images)?.mean((2, 3))
    ///     }
    /// }
    ///
    /// let variables = VarMap::new();
    /// let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    /// let stride = Conv2dConfig { stride: 16, ..Default::default() };
    /// let patches = Patches(candle_nn::conv2d(3, 8, 16, stride, vb.pp("backbone"))?);
    /// let mask = HeadSpec::new("mask", ["worn", "not_worn"]);
    /// let mask = Head::new(&mask, patches.num_features(), 0, vb.pp("heads.mask"))?;
    /// let model = MultiTaskModel::from_parts(Box::new(patches), vec![mask], None)?;
    ///
    /// let images = Tensor::zeros((2, 3, 64, 64), DType::F32, &Device::Cpu)?;
    /// let features = model.features(&images, Mode::Eval)?;
    /// let logits = model.logits(&features, Mode::Eval)?;
    /// assert_eq!(logits.heads[0].dims(), [2, 2]);
    /// assert!(logits.joint.is_none());
    /// let gradients = logits.heads[0].sum_all()?.backward()?;
    /// assert!(variables.all_vars().iter().all(|v| gradients.get(v).is_some()));
    /// # Ok::<(), hydranet::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no head, or one is over features of another width than the backbone's.
    pub fn from_parts(
        backbone: Box<dyn Backbone>,
        heads: Vec<Head>,
        joint: Option<Head>,
    ) -> Result<Self> {
        let width = backbone.num_features();
        Self::of_width(backbone, heads, joint, width)
    }

    /// The same of a backbone whose rows of features have `width` values.
    fn of_width(
        backbone: Box<dyn Backbone>,
        heads: Vec<Head>,
        joint: Option<Head>,
        width: usize,
    ) -> Result<Self> {
        if heads.is_empty() {
            return Err(Error::Invalid {
                what: "the heads of a model".into(),
                expected: "at least one".into(),
                found: "none".into(),
            });
        }
        let mut widths = heads.iter().chain(&joint).map(Head::num_features);
        if let Some(other) = widths.find(|w| *w != width) {
            return Err(Error::Invalid {
                what: "a head of a model".into(),
                expected: format!("one over {width} features, as the backbone gives them"),
                found: format!("one over {other}"),
            });
        }
        Ok(Self {
            backbone,
            order: (0..heads.len()).collect(),
            heads,
            joint,
            images: None,
            size: None,
            crops: Vec::new(),
        })
    }

    /// From now on, the backbone keeps what backward needs in this way.
    pub fn set_activations(&mut self, activations: SavedActivations) {
        self.backbone.set_activations(activations);
    }

    /// From now on, running statistics move towards a batch's by this share; `None`: by that of each layer.
    pub(crate) fn set_momentum(&mut self, momentum: Option<f64>) {
        self.backbone.set_momentum(momentum);
    }

    /// From now on, passes of the backbone are seen while they run.
    pub(crate) fn set_watch(&mut self, watch: Option<Arc<dyn Watch>>) {
        self.backbone.set_watch(watch);
    }

    /// The same model over what `change` makes of its backbone.
    pub(crate) fn with_backbone(
        self,
        change: impl FnOnce(Box<dyn Backbone>) -> Result<Box<dyn Backbone>>,
    ) -> Result<Self> {
        Ok(Self {
            backbone: change(self.backbone)?,
            ..self
        })
    }

    /// The backbone, the heads, and the joint head.
    pub(crate) fn parts(&self) -> (&dyn Backbone, &[Head], Option<&Head>) {
        (self.backbone.as_ref(), &self.heads, self.joint.as_ref())
    }

    /// The parts of images that heads see for themselves; their rows of features stand behind that of the whole.
    pub(crate) fn crops(&self) -> &[[f64; 4]] {
        &self.crops
    }

    /// The heads' places, each behind those it comes after.
    pub(crate) fn order(&self) -> &[usize] {
        &self.order
    }

    /// The backbone's features, and behind them in the same row what heads read beside them
    /// ([`LayerSpec::pool`](crate::LayerSpec::pool), [`LayerSpec::from_stage`](crate::LayerSpec::from_stage)): means of maps
    /// `(channels)`, and whole maps `(channels, H, W)`, each once; what stages of a head's own make
    /// ([`LayerSpec::own_stages`](crate::LayerSpec::own_stages)); and such a row for each
    /// [`LayerSpec::crop`](crate::LayerSpec::crop).
    ///
    /// # Shapes
    /// - `images` `(batch, channels, H, W)`, normalised; where heads read whole maps, of the model's input size
    /// - result `(batch, num_features)`, or wider where heads read more
    ///
    /// # Errors
    /// [`Error::Shape`] if the images are of other dimensions, channels or size than the model's, or there are none;
    /// [`Error::Invalid`] for a size that the architecture does not take; [`Error::Candle`] with what a backbone of your own
    /// says.
    pub fn features(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let channels = self.images.map(|(channels, _)| channels);
        let fits = |c| channels.is_none_or(|channels| c == channels);
        match *images.dims() {
            [batch, c, h, w] if ![batch, c, h, w].contains(&0) && fits(c) => {
                if let Some([height, width]) = self.size.filter(|size| *size != [h, w]) {
                    return Err(Error::Shape {
                        what: "images of a model whose heads pool whole maps".into(),
                        expected: format!("(batch, {c}, {height}, {width})"),
                        found: images.dims().to_vec(),
                    });
                }
                if let Some((_, architecture)) = self.images {
                    architecture.check_size([h, w])?;
                }
                let whole = self.backbone.features(images, mode)?;
                if self.crops.is_empty() {
                    return Ok(whole);
                }
                let part = |crop: &[f64; 4]| self.backbone.features(&cropped(images, *crop)?, mode);
                let parts = self.crops.iter().map(part);
                let rows = std::iter::once(Ok(whole)).chain(parts);
                let rows = rows.collect::<candle_core::Result<Vec<_>>>()?;
                Ok(Tensor::cat(&rows, 1)?)
            }
            _ => Err(Error::Shape {
                what: "images".into(),
                expected: match channels {
                    Some(channels) => format!("(batch, {channels}, H, W)"),
                    None => "(batch, channels, H, W)".into(),
                },
                found: images.dims().to_vec(),
            }),
        }
    }

    /// What each head's loss is of, see [`Head::outputs`].
    ///
    /// # Shapes
    /// - `features` `(batch, num_features)`, as [`features`](Self::features) gives them
    /// - result `(batch, num_outputs)` of each head, `(batch, num_classes)` of the joint head
    ///
    /// # Errors
    /// [`Error::Shape`] if the features are others.
    pub fn outputs(&self, features: &Tensor, mode: Mode) -> Result<Outputs> {
        let rows = features.dims().first().copied().unwrap_or(0);
        if mode != Mode::Eval || self.size.is_none() || rows <= ROWS {
            return self.outputs_at_once(features, mode);
        }
        let parts = (0..rows).step_by(ROWS).map(|from| {
            let part = features.narrow(0, from, ROWS.min(rows - from))?;
            self.outputs_at_once(&part, mode)
        });
        let parts = parts.collect::<Result<Vec<Outputs>>>()?;
        let joined = |of: &dyn Fn(&Outputs) -> Option<&Tensor>| {
            let all: Vec<&Tensor> = parts.iter().filter_map(of).collect();
            Tensor::cat(&all, 0)
        };
        let heads = (0..self.heads.len()).map(|i| joined(&|part| part.heads.get(i)));
        let joint = self
            .joint
            .as_ref()
            .map(|_| joined(&|part| part.joint.as_ref()));
        Ok(Outputs {
            heads: heads.collect::<candle_core::Result<_>>()?,
            joint: joint.transpose()?,
            bins: Vec::new(),
        })
    }

    /// The same, with all that is made of whole maps in memory.
    fn outputs_at_once(&self, features: &Tensor, mode: Mode) -> Result<Outputs> {
        let mut heads: Vec<Option<Tensor>> = vec![None; self.heads.len()];
        for place in &self.order {
            let head = &self.heads[*place];
            let after = head.reads().0.after.iter();
            // Those it comes after stand before it in the order.
            let before = after.filter_map(|(i, _)| Some((&self.heads[*i], heads[*i].as_ref()?)));
            let probs = before.map(|(head, outputs)| head.probs(outputs));
            let probs = probs.collect::<candle_core::Result<Vec<_>>>()?;
            heads[*place] = Some(head.outputs_after(features, &probs, mode)?);
        }
        let joint = self.joint.as_ref().map(|head| head.outputs(features, mode));
        Ok(Outputs {
            heads: heads.into_iter().flatten().collect(),
            joint: joint.transpose()?,
            bins: Vec::new(),
        })
    }

    /// Each head's logits, whose softmax (of several labels at once whose sigmoids) are the probabilities of its labels, see
    /// [`Head::logits`].
    ///
    /// # Shapes
    /// - `features` `(batch, num_features)`, as [`features`](Self::features) gives them
    /// - result `(batch, num_labels)` of each head, `(batch, num_classes)` of the joint head, `(batch, bins)` beside them of each
    ///   number
    ///
    /// # Errors
    /// [`Error::Shape`] if the features are others.
    pub fn logits(&self, features: &Tensor, mode: Mode) -> Result<Outputs> {
        self.to_logits(self.outputs(features, mode)?)
    }

    /// The same from the [`outputs`](Self::outputs).
    pub(crate) fn to_logits(&self, outputs: Outputs) -> Result<Outputs> {
        let bins = if self.heads.iter().any(Head::is_number) {
            let heads = self.heads.iter().zip(&outputs.heads);
            let bins = heads.map(|(head, o)| head.is_number().then(|| o.clone()));
            bins.collect()
        } else {
            Vec::new()
        };
        let heads = self.heads.iter().zip(outputs.heads);
        let joint = self.joint.as_ref().zip(outputs.joint);
        let logits = |(head, outputs): (&Head, Tensor)| head.to_logits(outputs);
        Ok(Outputs {
            heads: heads.map(logits).collect::<candle_core::Result<_>>()?,
            joint: joint.map(logits).transpose()?,
            bins,
        })
    }
}
