//! The model: one backbone, several heads.

use crate::backbone::{Activations, Architecture, Backbone};
use crate::error::{Error, Result};
use crate::head::{Head, HeadSpec};
use crate::input::InputSpec;
use crate::layers::Mode;
use crate::taxonomy::Taxonomy;
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
    /// From photo to tensor.
    pub input: InputSpec,
}

impl ModelSpec {
    /// Labels and final classes.
    ///
    /// # Errors
    /// As [`Taxonomy::new`].
    pub fn taxonomy(&self) -> Result<Taxonomy> {
        Taxonomy::new(
            self.heads
                .iter()
                .map(|h| (h.name.clone(), h.labels.clone())),
        )
    }

    /// Checks every part.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the part and the setting.
    pub fn validate(&self) -> Result<()> {
        self.input.validate()?;
        self.backbone.check_size(self.input.size)?;
        self.heads.iter().try_for_each(HeadSpec::validate)?;
        self.taxonomy().map(|_| ())
    }

    /// The place of the head named `name`.
    ///
    /// # Errors
    /// [`Error::UnknownName`] listing the heads there are.
    pub fn head_index(&self, name: &str) -> Result<usize> {
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

/// A backbone that feeds several heads.
///
/// [`features`](Self::features) and [`logits`](Self::logits) are separate, so that features can be kept.
pub struct MultiTaskModel {
    backbone: Box<dyn Backbone>,
    heads: Vec<Head>,
}

impl MultiTaskModel {
    /// Builds it over the tensors or variables of `vb`: `backbone.…` with timm's names, `heads.<name>.…` as in [`Head::new`].
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn new(spec: &ModelSpec, drop_path: f32, vb: &VarBuilder) -> Result<Self> {
        let vb_backbone = vb.pp("backbone");
        let channels = spec.input.channels;
        let backbone = spec.backbone.build_for(channels, vb_backbone, drop_path)?;
        let heads = spec
            .heads
            .iter()
            .enumerate()
            .map(|(i, h)| Head::new(h, backbone.num_features(), i, vb.pp("heads").pp(&h.name)))
            .collect::<candle_core::Result<_>>()?;
        Ok(Self { backbone, heads })
    }

    /// From now on, the backbone keeps what backward needs in this way.
    pub fn set_activations(&mut self, activations: Activations) {
        self.backbone.set_activations(activations);
    }

    /// From now on, running statistics move towards a batch's by this share; `None`: by that of each layer.
    pub fn set_momentum(&mut self, momentum: Option<f64>) {
        self.backbone.set_momentum(momentum);
    }

    /// The backbone and the heads.
    pub(crate) fn parts(&self) -> (&dyn Backbone, &[Head]) {
        (self.backbone.as_ref(), &self.heads)
    }

    /// The backbone's features.
    ///
    /// # Shapes
    /// `images` `(batch, channels, H, W)`, normalised; result `(batch, num_features)`.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn features(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(self.backbone.features(images, mode)?)
    }

    /// What each head's loss is of, see [`Head::outputs`].
    ///
    /// # Shapes
    /// `features` `(batch, num_features)`; results `(batch, num_outputs)`, one a head in order.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn outputs(&self, features: &Tensor, mode: Mode) -> Result<Vec<Tensor>> {
        self.heads
            .iter()
            .map(|h| Ok(h.outputs(features, mode)?))
            .collect()
    }

    /// Each head's logits, whose softmax are the probabilities of its labels, see [`Head::logits`].
    ///
    /// # Shapes
    /// `features` `(batch, num_features)`; results `(batch, num_labels)`, one a head in order.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn logits(&self, features: &Tensor, mode: Mode) -> Result<Vec<Tensor>> {
        self.heads
            .iter()
            .map(|h| Ok(h.logits(features, mode)?))
            .collect()
    }
}
