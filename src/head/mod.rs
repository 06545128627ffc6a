//! What a head is: its labels, where they come from, and how it is trained ([`HeadSpec`], one small TOML file each), and the
//! trainable layers that turn features into logits ([`Head`]).

use crate::error::{Error, Result};
use crate::layers::{Linear, Mode, dropout};
use crate::tape::linear;
use crate::taxonomy::{Labels, MAX_CLASSES};
use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

mod loss;
mod names;
mod ordinal;

pub use loss::{ClassWeightRule, ClassWeights, LossKind, LossTerm};
pub(crate) use names::check_names;
pub(crate) use ordinal::LEAST;
#[cfg(feature = "train")]
pub(crate) use ordinal::{borders, label_log_probs};

/// One head, as written in `heads/<name>.toml`.
///
/// A label comes either from a text column whose cells are the labels' names, or, with `thresholds`, from a column of numbers:
/// label i is `thresholds[i-1] <= value < thresholds[i]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSpec {
    /// The head's name; also the name of its tensors.
    pub name: String,
    /// The labels in order; a label's index is its digit of the final class.
    pub labels: Vec<String>,
    /// The column the label is read from; the head's name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The labels of earlier heads under which this one applies, all of which have to be met: `when = { mask = ["worn", "incorrect"] }`.
    /// Empty: it always applies. Elsewhere its loss, its scores and the final class leave it out.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub when: Labels,
    /// Ascending borders that turn a number into a label; one fewer than there are labels. Empty: the column holds names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<f64>,
    /// Whether the labels have an order, so that a prediction two labels off is worse than one that is one off. Labels made by
    /// `thresholds` have one in any case.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
    /// Bands `[from, to]`, both included, of numbers that are left out of this head's training.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<[f64; 2]>,
    /// Width of a soft border in training: across it the target moves linearly from one label to the next, half and half at
    /// the threshold. 0: a hard border. `thresholds = [30, 60]`, `soft_width = 20`: 58 counts 0.6 / 0.4.
    #[serde(default)]
    pub soft_width: f64,
    /// The loss.
    #[serde(default)]
    pub loss: LossKind,
    /// Factor of this head's loss in the joint loss.
    #[serde(default = "one")]
    pub weight: f64,
    /// Factor of each label within the loss.
    #[serde(default, skip_serializing_if = "is_equal")]
    pub class_weights: ClassWeights,
    /// Share of the epochs after which the class weights count; before, every label counts alike. 0: from the start. With the
    /// loss `ldam` that is deferred re-weighting (Cao et al. 2019), 0.8 in the paper.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reweight_after: f64,
    /// Label smoothing ε: target = (1 − ε) · target + ε / labels (Szegedy et al. 2016).
    #[serde(default)]
    pub smoothing: f64,
    /// Dropout probability on the features before the head.
    #[serde(default)]
    pub dropout: f64,
    /// Width of a hidden layer with ReLU; 0 for a linear head.
    #[serde(default)]
    pub hidden: usize,
}

/// A wider hidden layer is refused, so that a damaged file cannot ask for all memory.
const MAX_HIDDEN: usize = 65_536;

/// Greatest factor of a loss: far beyond anything of use, and far below what overflows in `f32`.
pub(crate) const GREATEST: f64 = 1e6;

/// Values of all heads' layers: 1 GiB, so that a small file cannot ask for all memory.
const MAX_VALUES: usize = 1 << 28;

/// Refuses heads whose layers over so many features would take more than 1 GiB.
pub(crate) fn check_layers<'a>(
    heads: impl Iterator<Item = &'a HeadSpec>,
    num_features: usize,
) -> Result<()> {
    let mut sum = 0usize;
    for head in heads {
        let values = match head.hidden {
            0 => num_features.saturating_mul(head.num_labels()),
            hidden => hidden.saturating_mul(num_features.saturating_add(head.num_labels())),
        };
        sum = sum.saturating_add(values);
        if sum > MAX_VALUES {
            return Err(Error::Invalid {
                what: format!("head `{}`, hidden and labels", head.name),
                expected: format!("layers of all heads of together at most {MAX_VALUES} values"),
                found: format!(
                    "{values} values: {num_features} features, hidden {}, {} labels",
                    head.hidden,
                    head.num_labels()
                ),
            });
        }
    }
    Ok(())
}

fn one() -> f64 {
    1.0
}

fn is_zero(v: &f64) -> bool {
    *v == 0.0
}

fn is_equal(w: &ClassWeights) -> bool {
    *w == ClassWeights::Equal
}

impl HeadSpec {
    /// A linear head with cross-entropy, weight 1 and every other setting at its default.
    pub fn new(
        name: impl Into<String>,
        labels: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            name: name.into(),
            labels: labels.into_iter().map(Into::into).collect(),
            column: None,
            when: Labels::new(),
            thresholds: Vec::new(),
            ordered: false,
            drop: Vec::new(),
            soft_width: 0.0,
            loss: LossKind::default(),
            weight: 1.0,
            class_weights: ClassWeights::default(),
            reweight_after: 0.0,
            smoothing: 0.0,
            dropout: 0.0,
            hidden: 0,
        }
    }

    /// The column the label is read from.
    pub fn column(&self) -> &str {
        self.column.as_deref().unwrap_or(&self.name)
    }

    /// Whether the labels have an order: they were made by `thresholds`, or it says so.
    pub fn is_ordered(&self) -> bool {
        self.ordered || !self.thresholds.is_empty()
    }

    /// Number of labels.
    pub fn num_labels(&self) -> usize {
        self.labels.len()
    }

    /// Checks the settings against each other.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the head, the setting, what is expected and what was found.
    pub fn validate(&self) -> Result<()> {
        let fail = |what: &str, expected: String, found: String| {
            Err(Error::Invalid {
                what: format!("head `{}`, {what}", self.name),
                expected,
                found,
            })
        };
        let well_named = |s: &str| {
            !s.is_empty()
                && s.chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        };
        if !well_named(&self.name) {
            return fail(
                "name",
                "letters, digits, `_` and `-`".into(),
                format!("`{}`", self.name),
            );
        }
        if self.labels.len() < 2 {
            return fail(
                "labels",
                "at least two".into(),
                self.labels.len().to_string(),
            );
        }
        if self.labels.len() > MAX_CLASSES {
            let expected = format!("at most {MAX_CLASSES}");
            return fail("labels", expected, self.labels.len().to_string());
        }
        if let Some(l) = self.labels.iter().find(|l| l.trim().is_empty()) {
            return fail("labels", "names".into(), format!("`{l}`"));
        }
        if !self.thresholds.is_empty() {
            if self.thresholds.len() + 1 != self.labels.len() {
                let expected = format!(
                    "{} borders for {} labels",
                    self.labels.len() - 1,
                    self.labels.len()
                );
                return fail("thresholds", expected, self.thresholds.len().to_string());
            }
            if !self.thresholds.windows(2).all(|w| w[0] < w[1])
                || self.thresholds.iter().any(|t| !t.is_finite())
            {
                return fail(
                    "thresholds",
                    "ascending numbers".into(),
                    format!("{:?}", self.thresholds),
                );
            }
            let gap = self
                .thresholds
                .windows(2)
                .map(|w| w[1] - w[0])
                .fold(f64::INFINITY, f64::min);
            if !(self.soft_width >= 0.0 && self.soft_width <= gap && self.soft_width.is_finite()) {
                return fail(
                    "soft_width",
                    format!("a number from 0 to {gap}, the least distance of two thresholds"),
                    self.soft_width.to_string(),
                );
            }
        } else if self.soft_width != 0.0 || !self.drop.is_empty() {
            return fail(
                "soft_width and drop",
                "`thresholds` beside them".into(),
                "none".into(),
            );
        }
        if let Some(band) = self
            .drop
            .iter()
            .find(|b| b[0].is_nan() || b[1].is_nan() || b[0] > b[1])
        {
            return fail(
                "drop",
                "bands [from, to] with from ≤ to".into(),
                format!("{band:?}"),
            );
        }
        if !(0.0..=GREATEST).contains(&self.weight) {
            return fail(
                "weight",
                format!("a number of at least 0, at most {GREATEST}"),
                self.weight.to_string(),
            );
        }
        let loss = self.loss.fault(self.labels.len());
        if let Some((what, expected, found)) =
            loss.or_else(|| self.class_weights.fault(self.labels.len()))
        {
            return fail(&what, expected, found);
        }
        if self.hidden > MAX_HIDDEN {
            let expected = format!("at most {MAX_HIDDEN}");
            return fail("hidden", expected, self.hidden.to_string());
        }
        for (what, v) in [
            ("reweight_after", self.reweight_after),
            ("smoothing", self.smoothing),
            ("dropout", self.dropout),
        ] {
            if !(0.0..1.0).contains(&v) {
                return fail(what, "a number from 0 to below 1".into(), v.to_string());
            }
        }
        Ok(())
    }
}

/// The trainable layers of one head: dropout, an optional hidden layer with ReLU, and a linear layer to the outputs.
pub struct Head {
    dropout: f32,
    hidden: Option<Linear>,
    fc: Last,
    loss: LossKind,
    stream: u64,
}

/// The last layer.
enum Last {
    Linear(Linear),
    /// One vector of weights `(1, inputs)` for all outputs, a bias `(outputs)`, and `start` `(outputs)`, which the bias counts from.
    Shared {
        weight: Tensor,
        bias: Tensor,
        start: Tensor,
    },
}

impl Last {
    fn new(
        loss: &LossKind,
        inputs: usize,
        labels: usize,
        vb: VarBuilder,
    ) -> candle_core::Result<Self> {
        let outputs = loss.num_outputs(labels);
        if *loss != LossKind::Coral {
            return Ok(Self::Linear(Linear::new(inputs, outputs, vb)?));
        }
        let bound = 1.0 / (inputs as f64).sqrt();
        let init = Init::Uniform {
            lo: -bound,
            up: bound,
        };
        Ok(Self::Shared {
            weight: vb.get_with_hints((1, inputs), "weight", init)?,
            bias: vb.get_with_hints(outputs, "bias", Init::Const(0.0))?,
            start: Tensor::new(ordinal::borders(outputs), vb.device())?.to_dtype(vb.dtype())?,
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Linear(layer) => layer.forward(x),
            Self::Shared { weight, .. } => linear(x, weight, None)?.broadcast_add(&self.bias()?),
        }
    }

    /// What is added to each output.
    fn bias(&self) -> candle_core::Result<Tensor> {
        match self {
            Self::Linear(layer) => Ok(layer.bias().clone()),
            Self::Shared { bias, start, .. } => bias + start,
        }
    }

    fn weight(&self) -> &Tensor {
        match self {
            Self::Linear(layer) => layer.weight(),
            Self::Shared { weight, .. } => weight,
        }
    }
}

impl Head {
    /// Over tensors `hidden.weight`, `hidden.bias` (if there is a hidden layer), `fc.weight` `(num_labels, inputs)` and `fc.bias`
    /// `(num_labels)`; with the loss `corn` one fewer, and with `coral` `fc.weight` `(1, inputs)` and `fc.bias` `(num_labels − 1)`,
    /// which counts from borders two apart: output k is w·x + bias_k + (num_labels − 2) − 2k.
    ///
    /// `index`, the head's place in the model, keeps the dropout of several heads apart.
    ///
    /// # Errors
    /// If `vb` lacks a tensor.
    pub fn new(
        spec: &HeadSpec,
        num_features: usize,
        index: usize,
        vb: VarBuilder,
    ) -> candle_core::Result<Self> {
        let hidden = match spec.hidden {
            0 => None,
            width => Some(Linear::new(num_features, width, vb.pp("hidden"))?),
        };
        let inputs = if spec.hidden == 0 {
            num_features
        } else {
            spec.hidden
        };
        Ok(Self {
            dropout: spec.dropout as f32,
            hidden,
            fc: Last::new(&spec.loss, inputs, spec.num_labels(), vb.pp("fc"))?,
            loss: spec.loss.clone(),
            // Streams below 2³² are the backbone's.
            stream: (1 << 32) + index as u64,
        })
    }

    /// Weight and bias of its linear layers in order, with a ReLU between two. A weight `(1, inputs)` under several biases is that of
    /// all of their outputs.
    ///
    /// # Errors
    /// If a tensor cannot be made.
    pub(crate) fn linears(&self) -> candle_core::Result<Vec<[Tensor; 2]>> {
        let hidden = self.hidden.as_ref();
        let hidden = hidden.map(|h| [h.weight().clone(), h.bias().clone()]);
        let last = [self.fc.weight().clone(), self.fc.bias()?];
        Ok(hidden.into_iter().chain([last]).collect())
    }

    /// What the head's loss is of: a logit for each label, or with the losses `coral` and `corn` one for each border between labels.
    ///
    /// # Shapes
    /// `features` `(batch, num_features)`; result `(batch, num_outputs)`, see [`LossKind::num_outputs`].
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn outputs(&self, features: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let x = dropout(features, self.dropout, mode, self.stream)?;
        match &self.hidden {
            Some(hidden) => self.fc.forward(&relu(&hidden.forward(&x)?)?),
            None => self.fc.forward(&x),
        }
    }

    /// Logits whose softmax are the probabilities of the labels: the [`outputs`](Self::outputs), or with the losses `coral` and
    /// `corn` the log-probabilities that follow from them, which are `f32` and without a gradient.
    ///
    /// # Shapes
    /// `features` `(batch, num_features)`; result `(batch, num_labels)`.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn logits(&self, features: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let outputs = self.outputs(features, mode)?;
        if !self.loss.is_cumulative() {
            return Ok(outputs);
        }
        let (batch, n) = outputs.dims2()?;
        let rows = outputs.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        let rows: Vec<f32> = rows.flatten_all()?.to_vec1()?;
        let rows = rows.chunks_exact(n);
        let log_probs: Vec<f32> = rows
            .flat_map(|row| ordinal::label_log_probs(&self.loss, row))
            .collect();
        Tensor::from_vec(log_probs, (batch, n + 1), outputs.device())
    }
}

/// max(x, 0) with gradient 0 at 0: candle's own has gradient 1 there.
fn relu(x: &Tensor) -> candle_core::Result<Tensor> {
    let positive = x.detach().gt(0.0)?.to_dtype(x.dtype())?;
    x * positive
}
