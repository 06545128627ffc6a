//! What a model is, as data.

use super::layout::Layout;
use crate::backbone::Architecture;
use crate::error::{Error, Result};
use crate::head::{
    ClassWeights, GREATEST, HeadSpec, Inputs, LayerSpec, LossKind, LossSpec, check_layers,
    check_names,
};
use crate::input::InputSpec;
use crate::taxonomy::{Labels, Taxonomy};
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
    #[serde(deserialize_with = "crate::names::word_or_table")]
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
                ..LayerSpec::default()
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
        if !taxonomy.has_classes() {
            let expected = "heads of which a photo has one label, whose final classes it is of";
            return fail(
                "heads",
                expected,
                "only heads of several labels at once".into(),
            );
        }
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
        if self.consistency > 0.0
            && let Some(head) = heads.iter().find(|h| h.labels.number.is_some())
        {
            let expected = format!(
                "0 beside head `{}`, which predicts a number: its outputs are not logits of labels",
                head.name
            );
            return fail("consistency", &expected, self.consistency.to_string());
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
        let several = self.heads.iter().map(HeadSpec::is_multi_label).collect();
        let labels = |h: &HeadSpec| (h.name.clone(), h.labels.names.clone());
        let heads = self.heads.iter().map(labels);
        let groups = self.heads.iter().map(|h| h.labels.tree());
        let groups = groups.collect::<Result<_>>()?;
        Taxonomy::of(heads, several, groups, &when, &self.impossible)
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
        let layout = Layout::of(self)?;
        let widths = layout.heads.iter().chain([&layout.joint]);
        let heads = self.heads.iter().chain(&joint);
        check_layers(heads.zip(widths.map(Inputs::width)))?;
        check_names(&self.heads)
    }

    /// Whether heads have stages for themselves, which are trained whatever of the backbone is.
    pub(crate) fn has_own_stages(&self) -> bool {
        self.heads.iter().any(|head| head.layers.own_stages > 0)
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

    /// The place of the head named `name`, of which a photo has one label, as the setting `what` needs it.
    ///
    /// # Errors
    /// As [`head_index`](Self::head_index); [`Error::Invalid`] if it is one of several labels at once.
    #[cfg(feature = "train")]
    pub(crate) fn single_label_head(&self, name: &str, what: &str) -> Result<usize> {
        let place = self.head_index(name)?;
        if !self.heads[place].is_multi_label() {
            return Ok(place);
        }
        Err(Error::Invalid {
            what: what.into(),
            expected: "a head of which a photo has one label".into(),
            found: format!("`{name}`, of `kind = \"multi_label\"`"),
        })
    }
}
