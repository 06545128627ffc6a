//! A head in a file: the keys of its three parts side by side, so that a misspelt one is named among all that are known.

use super::class_weights::ClassWeights;
use super::labels::LabelSpec;
use super::layers::LayerSpec;
use super::loss::LossSpec;
use super::loss_kind::LossKind;
use super::spec::HeadSpec;
use crate::taxonomy::Labels;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The keys in the order in which they are written. Fingerprints are made of them: a new one is left out where it says nothing.
#[derive(Serialize, Deserialize)]
#[serde(rename = "HeadSpec", deny_unknown_fields)]
struct Table {
    name: String,
    labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<String>,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    when: Labels,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    thresholds: Vec<f64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ordered: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    drop: Vec<[f64; 2]>,
    #[serde(default)]
    soft_width: f64,
    #[serde(default)]
    loss: LossKind,
    #[serde(default = "one")]
    weight: f64,
    #[serde(default, skip_serializing_if = "ClassWeights::is_equal")]
    class_weights: ClassWeights,
    #[serde(default, skip_serializing_if = "is_zero")]
    reweight_after: f64,
    #[serde(default)]
    smoothing: f64,
    #[serde(default)]
    dropout: f64,
    #[serde(default)]
    hidden: usize,
}

fn one() -> f64 {
    1.0
}

fn is_zero(v: &f64) -> bool {
    *v == 0.0
}

impl Serialize for HeadSpec {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self {
            name,
            labels,
            loss,
            layers,
        } = self.clone();
        let table = Table {
            name,
            labels: labels.names,
            column: labels.column,
            unknown: labels.unknown,
            when: labels.when,
            thresholds: labels.thresholds,
            ordered: labels.ordered,
            drop: labels.drop,
            soft_width: labels.soft_width,
            loss: loss.kind,
            weight: loss.weight,
            class_weights: loss.class_weights,
            reweight_after: loss.reweight_after,
            smoothing: loss.smoothing,
            dropout: layers.dropout,
            hidden: layers.hidden,
        };
        table.serialize(to)
    }
}

impl<'de> Deserialize<'de> for HeadSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let table = Table::deserialize(from)?;
        Ok(Self {
            name: table.name,
            labels: LabelSpec {
                names: table.labels,
                column: table.column,
                unknown: table.unknown,
                when: table.when,
                thresholds: table.thresholds,
                ordered: table.ordered,
                drop: table.drop,
                soft_width: table.soft_width,
            },
            loss: LossSpec {
                kind: table.loss,
                weight: table.weight,
                class_weights: table.class_weights,
                reweight_after: table.reweight_after,
                smoothing: table.smoothing,
            },
            layers: LayerSpec {
                dropout: table.dropout,
                hidden: table.hidden,
            },
        })
    }
}
