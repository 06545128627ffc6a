//! What a model file says about itself.

use super::activations::Activations;
use super::dtype::WeightDType;
use super::seen::Seen;
use crate::error::{Error, Result};
use crate::model::ModelSpec;
use crate::model::combine::Decision;
use crate::model::novelty::NoveltySpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the format this crate writes.
pub(super) const FORMAT: u32 = 1;

/// What a model file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Description {
    /// `"model"`; of heads without their backbone `"heads"`.
    pub(crate) kind: String,
    /// Version of the format: 1.
    pub(crate) format: u32,
    /// Backbone, heads, input.
    pub model: ModelSpec,
    /// The rule for the final class.
    pub decision: Decision,
    /// The final classes' names in order; follows from the heads, written for other readers.
    pub classes: Vec<String>,
    /// How the backbone's weights are kept in the file.
    #[serde(default, skip_serializing_if = "WeightDType::is_f32")]
    pub dtype: WeightDType,
    /// What it needs to compute in eight bits, if it was calibrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) activations: Option<Activations>,
    /// Statistics by which it is told how unlike the training photos a photo is, if the file has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) novelty: Option<NoveltySpec>,
    /// Of heads without their backbone its fingerprint; the chapter `file_format` of the guide says of what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone_sha256: Option<String>,
    /// Whom it was trained, validated and tested on: a record of each training that its weights went through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) seen: Vec<Seen>,
    /// How it was trained: configuration, fingerprint of the data, scores. Free-form.
    #[serde(default)]
    pub training: serde_json::Value,
}

impl Description {
    /// The description of a model.
    ///
    /// # Errors
    /// If the specification is not valid.
    pub fn new(model: ModelSpec, training: serde_json::Value) -> Result<Self> {
        model.validate()?;
        let classes = model.taxonomy()?.class_names();
        Ok(Self {
            kind: "model".into(),
            format: FORMAT,
            model,
            decision: Decision::default(),
            classes,
            dtype: WeightDType::F32,
            activations: None,
            novelty: None,
            backbone_sha256: None,
            seen: Vec::new(),
            training,
        })
    }

    /// Takes the records of the weights that this model was put together with. Where neither has any but that it is not known, it
    /// stays without.
    #[cfg(feature = "cli")]
    pub(crate) fn see(&mut self, records: &[Seen]) {
        if !self.seen.is_empty() || records.iter().any(|r| !r.incomplete) {
            self.seen = self.records();
            Seen::join(&mut self.seen, records);
        }
    }

    /// What the listing it was trained on calls its columns, where that is recorded.
    pub(crate) fn columns(&self) -> BTreeMap<String, String> {
        let columns = self.training["columns"].clone();
        serde_json::from_value(columns).unwrap_or_default()
    }

    /// As JSON with sorted keys.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] if a value has no form in JSON.
    pub(crate) fn to_json(&self) -> Result<String> {
        let value = serde_json::to_value(self).map_err(json_error)?;
        serde_json::to_string(&value).map_err(json_error)
    }

    /// Its records; of a model that was trained and has none, one that says so.
    pub(crate) fn records(&self) -> Vec<Seen> {
        if self.seen.is_empty() && !self.training.is_null() {
            return vec![Seen {
                incomplete: true,
                ..Seen::default()
            }];
        }
        self.seen.clone()
    }

    /// Those of a model that was made of this and another. Where neither has any it stays so, for then everything is asked
    /// otherwise.
    pub(super) fn records_with(&self, other: &Self) -> Vec<Seen> {
        if self.seen.is_empty() && other.seen.is_empty() {
            return Vec::new();
        }
        let mut records = self.records();
        Seen::join(&mut records, &other.records());
        records
    }

    /// What a file with nothing but the model's backbone says of itself: whom it has seen. `None` if that is nobody.
    pub(super) fn backbone_to_json(&self) -> Result<Option<String>> {
        let seen = self.records();
        if seen.is_empty() {
            return Ok(None);
        }
        let value = serde_json::json!({ "kind": "backbone", "seen": seen });
        serde_json::to_string(&value).map(Some).map_err(json_error)
    }
}

fn json_error(e: serde_json::Error) -> Error {
    Error::Checkpoint {
        origin: "the model's description".into(),
        problem: "cannot be written as JSON".into(),
        source: Some(e.into()),
    }
}
