//! A head in a file: the keys of its three parts side by side, so that a misspelt one is named among all that are known.

use super::class_weights::ClassWeights;
use super::labels::LabelSpec;
use super::layers::LayerSpec;
use super::loss::LossSpec;
use super::loss_kind::LossKind;
use super::multi_label::MultiLabelSpec;
use super::number::NumberSpec;
use super::pool::PoolKind;
use super::spec::HeadSpec;
use super::stages::Stages;
use crate::taxonomy::Labels;
use serde::{Deserialize, Serialize};

/// The keys in the order in which they are written. Fingerprints are made of them: a new one is left out where it says nothing.
#[derive(Serialize, Deserialize)]
#[serde(rename = "HeadSpec", deny_unknown_fields)]
pub(super) struct Table {
    name: String,
    labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<[f64; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bins: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spread: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    none: Vec<String>,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    when: Labels,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    groups: Labels,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    thresholds: Vec<f64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ordered: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    drop: Vec<[f64; 2]>,
    #[serde(default)]
    soft_width: f64,
    /// None: that of the kind.
    #[serde(default, deserialize_with = "crate::names::some_word_or_table")]
    loss: Option<LossKind>,
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
    #[serde(default, skip_serializing_if = "PoolKind::is_average")]
    pool: PoolKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from_stage: Option<Stages>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<String>,
    #[serde(default, skip_serializing_if = "is_none")]
    own_stages: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crop: Option<[f64; 4]>,
}

/// What a head predicts.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// One of its labels.
    Label,
    /// A number, and labels as what lies between borders.
    Number,
    /// Any number of its labels.
    MultiLabel,
}

impl Kind {
    /// As a file writes it.
    fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::Number => "number",
            Self::MultiLabel => "multi_label",
        }
    }
}

impl Table {
    /// The number that the head predicts, if it predicts one. Settings are read one after another, so that what is missing yet is
    /// left to [`HeadSpec::validate`]: a range that is not given is no numbers.
    fn number(&self) -> Result<Option<NumberSpec>, String> {
        let given = [
            ("range", self.range.is_some()),
            ("bins", self.bins.is_some()),
            ("spread", self.spread.is_some()),
        ];
        let given = given.into_iter().find(|(_, given)| *given);
        match (self.kind, given) {
            (None | Some(Kind::Label), None) => Ok(None),
            (Some(kind @ (Kind::Label | Kind::MultiLabel)), Some((key, _))) => Err(format!(
                "head `{}`: `{key}` is for heads of `kind = \"number\"`, found `kind = \"{}\"`",
                self.name,
                kind.name()
            )),
            (Some(Kind::MultiLabel), None) => Ok(None),
            (Some(Kind::Number), _) | (None, Some(_)) => {
                let range = self.range.unwrap_or([f64::NAN; 2]);
                let usual = NumberSpec::new(range);
                let usual = NumberSpec::with_bins(range, self.bins.unwrap_or(usual.bins));
                Ok(Some(NumberSpec {
                    spread: self.spread.unwrap_or(usual.spread),
                    ..usual
                }))
            }
        }
    }

    /// What labels are of which a photo may have several, if they are such; `thresholds` then are theirs.
    fn multi_label(&mut self) -> Result<Option<MultiLabelSpec>, String> {
        let none = std::mem::take(&mut self.none);
        if self.kind == Some(Kind::MultiLabel) {
            let thresholds = std::mem::take(&mut self.thresholds);
            return Ok(Some(MultiLabelSpec { none, thresholds }));
        }
        if none.is_empty() {
            return Ok(None);
        }
        Err(format!(
            "head `{}`: `none` is for heads of `kind = \"multi_label\"`, found `kind = \"{}\"`",
            self.name,
            self.kind.map_or("label", Kind::name)
        ))
    }
}

fn one() -> f64 {
    1.0
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

fn is_zero(v: &f64) -> bool {
    *v == 0.0
}

impl From<HeadSpec> for Table {
    fn from(head: HeadSpec) -> Self {
        let HeadSpec {
            name,
            labels,
            loss,
            layers,
        } = head;
        let kind = match (&labels.number, &labels.multi_label) {
            (_, Some(_)) => Some(Kind::MultiLabel),
            (Some(_), None) => Some(Kind::Number),
            (None, None) => None,
        };
        let multi_label = labels.multi_label.unwrap_or_default();
        Self {
            name,
            labels: labels.names,
            kind,
            range: labels.number.map(|n| n.range),
            bins: labels.number.map(|n| n.bins),
            spread: labels.number.map(|n| n.spread),
            column: labels.column,
            unknown: labels.unknown,
            none: multi_label.none,
            when: labels.when,
            groups: labels.groups,
            thresholds: [labels.thresholds, multi_label.thresholds].concat(),
            ordered: labels.ordered,
            drop: labels.drop,
            soft_width: labels.soft_width,
            loss: Some(loss.kind),
            weight: loss.weight,
            class_weights: loss.class_weights,
            reweight_after: loss.reweight_after,
            smoothing: loss.smoothing,
            dropout: layers.dropout,
            hidden: layers.hidden,
            pool: layers.pool,
            from_stage: (!layers.from_stage.is_empty()).then_some(Stages(layers.from_stage)),
            after: layers.after,
            own_stages: layers.own_stages,
            crop: layers.crop,
        }
    }
}

impl TryFrom<Table> for HeadSpec {
    type Error = String;

    fn try_from(mut table: Table) -> Result<Self, String> {
        let number = table.number()?;
        let multi_label = table.multi_label()?;
        let usual = if multi_label.is_some() {
            LossKind::BinaryCrossEntropy
        } else if !table.groups.is_empty() {
            LossKind::hierarchical()
        } else {
            LossKind::default()
        };
        Ok(Self {
            name: table.name,
            labels: LabelSpec {
                names: table.labels,
                column: table.column,
                unknown: table.unknown,
                when: table.when,
                groups: table.groups,
                thresholds: table.thresholds,
                ordered: table.ordered,
                drop: table.drop,
                soft_width: table.soft_width,
                number,
                multi_label,
            },
            loss: LossSpec {
                kind: table.loss.unwrap_or(usual),
                weight: table.weight,
                class_weights: table.class_weights,
                reweight_after: table.reweight_after,
                smoothing: table.smoothing,
            },
            layers: LayerSpec {
                dropout: table.dropout,
                hidden: table.hidden,
                pool: table.pool,
                from_stage: table.from_stage.map_or_else(Vec::new, |stages| stages.0),
                after: table.after,
                own_stages: table.own_stages,
                crop: table.crop,
            },
        })
    }
}
