//! The model: one backbone, several heads.

pub mod combine;
pub mod novelty;
mod outputs;

pub use outputs::{Logits, Outputs};

use crate::backbone::{Architecture, Backbone, SavedActivations};
use crate::error::{Error, Result};
use crate::head::{
    ClassWeights, GREATEST, Head, HeadSpec, LayerSpec, LossKind, LossSpec, check_layers,
    check_names,
};
use crate::input::InputSpec;
use crate::layers::Mode;
use crate::taxonomy::{Labels, Taxonomy};
use candle_core::Tensor;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

/// What a model is: everything that is needed to build it and to use it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// The backbone.
    pub backbone: Architecture,
    /// The heads; their order gives the digits of the final class.
    pub heads: Vec<HeadSpec>,
    /// Combinations of labels that do not occur, each by the heads' names: `{ mask = ["incorrect"], age = ["under_3"] }`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub impossible: Vec<Labels>,
    /// A head of all final classes beside the others, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joint: Option<JointSpec>,
    /// From photo to tensor.
    pub input: InputSpec,
}

/// A head of all final classes beside the heads of their parts; its tensors are `joint.…`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JointSpec {
    /// Its share where it decides together with the others, from 0 to 1, see [`Decision`](crate::Decision).
    pub share: f64,
    /// Factor of its loss in the joint loss.
    pub weight: f64,
    /// Factor of a loss that draws what it says of each head's labels and what the head says towards each other
    /// (`train::loss::Consistency`); 0: none.
    pub consistency: f64,
    /// Its loss.
    pub loss: LossKind,
    /// Factor of each final class within the loss.
    #[serde(skip_serializing_if = "ClassWeights::is_equal")]
    pub class_weights: ClassWeights,
    /// Label smoothing ε, see [`LossSpec::smoothing`].
    pub smoothing: f64,
    /// Dropout probability on the features before it.
    pub dropout: f64,
    /// Width of a hidden layer with ReLU; 0 for a linear head.
    pub hidden: usize,
}

impl Default for JointSpec {
    fn default() -> Self {
        Self {
            share: 0.5,
            weight: 1.0,
            consistency: 0.0,
            loss: LossKind::default(),
            class_weights: ClassWeights::Equal,
            smoothing: 0.0,
            dropout: 0.0,
            hidden: 0,
        }
    }
}

/// What the joint head is called among the heads.
pub(crate) const JOINT: &str = "joint";

impl JointSpec {
    /// As a head whose labels are the final classes.
    pub(crate) fn head(&self, taxonomy: &Taxonomy) -> HeadSpec {
        HeadSpec {
            loss: LossSpec {
                kind: self.loss.clone(),
                weight: self.weight,
                class_weights: self.class_weights.clone(),
                smoothing: self.smoothing,
                ..LossSpec::default()
            },
            layers: LayerSpec {
                dropout: self.dropout,
                hidden: self.hidden,
            },
            ..HeadSpec::new(JOINT, taxonomy.class_names())
        }
    }

    fn validate(&self, heads: &[HeadSpec], taxonomy: &Taxonomy) -> Result<()> {
        let fail = |what: &str, expected: &str, found: String| {
            Err(Error::Invalid {
                what: format!("model.joint, {what}"),
                expected: expected.into(),
                found,
            })
        };
        if heads.iter().any(|h| h.name == JOINT) {
            return fail("heads", "no head named `joint` beside it", JOINT.into());
        }
        if !(0.0..=1.0).contains(&self.share) {
            return fail("share", "a number from 0 to 1", self.share.to_string());
        }
        if !(0.0..=GREATEST).contains(&self.consistency) {
            let found = self.consistency.to_string();
            return fail(
                "consistency",
                "a number of at least 0, at most 1000000",
                found,
            );
        }
        if self.loss.is_cumulative() {
            let expected = "a loss for labels without an order";
            return fail("loss", expected, "one for labels that have one".into());
        }
        if self.consistency > 0.0 && heads.iter().any(|h| h.loss.kind.is_cumulative()) {
            let expected = "0 beside heads with the losses `coral` and `corn`, whose outputs are not logits of labels";
            return fail("consistency", expected, self.consistency.to_string());
        }
        self.head(taxonomy).validate()
    }
}

impl ModelSpec {
    /// A model of these heads, every one of which always applies, and no joint head.
    pub fn new(backbone: Architecture, heads: Vec<HeadSpec>, input: InputSpec) -> Self {
        Self {
            backbone,
            heads,
            impossible: Vec::new(),
            joint: None,
            input,
        }
    }

    /// Labels and final classes.
    ///
    /// # Errors
    /// As [`Taxonomy::new`] and [`Taxonomy::with_tree`].
    pub fn taxonomy(&self) -> Result<Taxonomy> {
        let when: Vec<Labels> = self.heads.iter().map(|h| h.labels.when.clone()).collect();
        Taxonomy::new(
            self.heads
                .iter()
                .map(|h| (h.name.clone(), h.labels.names.clone())),
        )?
        .with_tree(&when, &self.impossible)
    }

    /// Checks every part.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the part and the setting.
    pub fn validate(&self) -> Result<()> {
        self.input.validate()?;
        self.backbone.check_size(self.input.size)?;
        self.heads.iter().try_for_each(HeadSpec::validate)?;
        let taxonomy = self.taxonomy()?;
        if let Some(joint) = &self.joint {
            joint.validate(&self.heads, &taxonomy)?;
        }
        let joint = self.joint.as_ref().map(|j| j.head(&taxonomy));
        let width = self.backbone.num_features();
        check_layers(self.heads.iter().chain(&joint), width)?;
        check_names(&self.heads)
    }

    /// The place of the head named `name`.
    ///
    /// # Errors
    /// [`Error::UnknownName`] listing the heads there are.
    pub(crate) fn head_index(&self, name: &str) -> Result<usize> {
        self.heads
            .iter()
            .position(|h| h.name == name)
            .ok_or_else(|| Error::UnknownName {
                what: "head",
                found: name.into(),
                known: self.heads.iter().map(|h| h.name.clone()).collect(),
            })
    }
}

/// The heads and the joint head over `heads.<name>.…` and `joint.…` of `vb`.
pub(crate) fn heads(
    spec: &ModelSpec,
    num_features: usize,
    vb: &VarBuilder,
) -> Result<(Vec<Head>, Option<Head>)> {
    let places = spec.heads.iter().enumerate();
    let heads = places
        .map(|(i, h)| Head::new(h, num_features, i, vb.pp("heads").pp(&h.name)))
        .collect::<candle_core::Result<Vec<_>>>()?;
    let joint = match &spec.joint {
        Some(joint) => {
            let head = joint.head(&spec.taxonomy()?);
            Some(Head::new(&head, num_features, heads.len(), vb.pp(JOINT))?)
        }
        None => None,
    };
    Ok((heads, joint))
}

/// A backbone that feeds several heads.
///
/// [`features`](Self::features) and [`logits`](Self::logits) are separate, so that features can be kept.
pub struct MultiTaskModel {
    backbone: Box<dyn Backbone>,
    heads: Vec<Head>,
    /// The head of all final classes beside them.
    joint: Option<Head>,
}

impl MultiTaskModel {
    /// Builds it over the tensors or variables of `vb`: `backbone.…` with timm's names, `heads.<name>.…` and `joint.…` as in
    /// [`Head::new`].
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn new(spec: &ModelSpec, drop_path: f32, vb: &VarBuilder) -> Result<Self> {
        let vb_backbone = vb.pp("backbone");
        let channels = spec.input.channels;
        let backbone = spec.backbone.build_for(channels, vb_backbone, drop_path)?;
        let (heads, joint) = heads(spec, backbone.num_features(), vb)?;
        Self::from_parts(backbone, heads, joint)
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
    /// [`Error::Invalid`] if a head is over features of another width than the backbone's.
    pub fn from_parts(
        backbone: Box<dyn Backbone>,
        heads: Vec<Head>,
        joint: Option<Head>,
    ) -> Result<Self> {
        let width = backbone.num_features();
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
            heads,
            joint,
        })
    }

    /// From now on, the backbone keeps what backward needs in this way.
    pub fn set_activations(&mut self, activations: SavedActivations) {
        self.backbone.set_activations(activations);
    }

    /// From now on, running statistics move towards a batch's by this share; `None`: by that of each layer.
    pub fn set_momentum(&mut self, momentum: Option<f64>) {
        self.backbone.set_momentum(momentum);
    }

    /// The backbone, the heads, and the joint head.
    pub(crate) fn parts(&self) -> (&dyn Backbone, &[Head], Option<&Head>) {
        (self.backbone.as_ref(), &self.heads, self.joint.as_ref())
    }

    /// The backbone's features.
    ///
    /// # Shapes
    /// - `images` `(batch, channels, H, W)`, normalised
    /// - result `(batch, num_features)`
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn features(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(self.backbone.features(images, mode)?)
    }

    /// What each head's loss is of, see [`Head::outputs`].
    ///
    /// # Shapes
    /// - `features` `(batch, num_features)`
    /// - result `(batch, num_outputs)` of each head, `(batch, num_classes)` of the joint head
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn outputs(&self, features: &Tensor, mode: Mode) -> Result<Outputs> {
        let outputs = |head: &Head| head.outputs(features, mode);
        let heads = self.heads.iter().map(outputs);
        Ok(Outputs {
            heads: heads.collect::<candle_core::Result<_>>()?,
            joint: self.joint.as_ref().map(outputs).transpose()?,
        })
    }

    /// Each head's logits, whose softmax are the probabilities of its labels, see [`Head::logits`].
    ///
    /// # Shapes
    /// - `features` `(batch, num_features)`
    /// - result `(batch, num_labels)` of each head, `(batch, num_classes)` of the joint head
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn logits(&self, features: &Tensor, mode: Mode) -> Result<Outputs> {
        self.to_logits(self.outputs(features, mode)?)
    }

    /// The same from the [`outputs`](Self::outputs).
    pub(crate) fn to_logits(&self, outputs: Outputs) -> Result<Outputs> {
        let heads = self.heads.iter().zip(outputs.heads);
        let joint = self.joint.as_ref().zip(outputs.joint);
        let logits = |(head, outputs): (&Head, Tensor)| head.to_logits(outputs);
        Ok(Outputs {
            heads: heads.map(logits).collect::<candle_core::Result<_>>()?,
            joint: joint.map(logits).transpose()?,
        })
    }
}
