//! What a model says of a photo.

use serde::Serialize;

/// One head's part of a prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HeadPrediction {
    /// The head.
    pub head: String,
    /// Index of the label the final class has for this head; `None` if the head does not apply to it.
    pub index: Option<usize>,
    /// Its name.
    pub label: Option<String>,
    /// Index of the label that the head itself holds most likely; the final class may have another, which fits the other heads.
    pub best: usize,
    /// Its name.
    pub best_label: String,
    /// The probability of each label of the head, in order; where the head does not always apply, given that it does. They sum to
    /// 1, but of several labels at once.
    pub probs: Vec<f64>,
    /// The number, of a head that predicts one ([`LabelSpec::number`](crate::LabelSpec::number)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<NumberPrediction>,
    /// The names of the labels that are as likely as their thresholds, in order, of a head of several at once
    /// ([`LabelSpec::multi_label`](crate::LabelSpec::multi_label)); `None` of other heads, and where it does not apply to the
    /// final class. Its `index` and `label` are `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// The likeliest group of each level, from the outermost to the innermost, of a head whose labels are in groups
    /// ([`LabelSpec::groups`](crate::LabelSpec::groups)), each decided by itself; empty of other heads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupPrediction>,
}

/// A group of labels, and what a head gives it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GroupPrediction {
    /// The group.
    pub group: String,
    /// The sum of the probabilities of its labels.
    pub prob: f64,
}

/// What a head says of a number, in the unit of the data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NumberPrediction {
    /// The mean of the distribution.
    pub mean: f64,
    /// Below it lies a twentieth of the distribution.
    pub low: f64,
    /// Above it lies a twentieth: between both the number is with 90 % probability, as the model says.
    pub high: f64,
}

impl NumberPrediction {
    /// The shares of the distribution below `low` and below `high`.
    pub(crate) const INTERVAL: [f64; 2] = [0.05, 0.95];
}

/// What a model says of one photo.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Prediction {
    /// The final class.
    pub class: usize,
    /// Its name.
    pub name: String,
    /// Its joint probability.
    pub prob: f64,
    /// The probability of each final class, in order; not in JSON.
    #[serde(skip)]
    pub class_probs: Vec<f64>,
    /// Each head's label and probabilities, in the order of the heads.
    pub heads: Vec<HeadPrediction>,
    /// Whether `prob` is below the model's [`min_confidence`](crate::Decision::min_confidence): better left to a person.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub abstains: bool,
    /// How unlike the training photos it is: the share of photos kept aside in training that were less so, from 0 to 1. `None` if
    /// the model file has no statistics of novelty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub novelty: Option<f64>,
}

impl Prediction {
    /// The `k` most likely final classes with their probabilities, the most likely first, equal ones in their order.
    /// [`Taxonomy::class_name`](crate::Taxonomy::class_name) has their names. With offsets
    /// ([`Decision::offsets`](crate::Decision::offsets)) the first may be another than [`class`](Self::class).
    pub fn top_k(&self, k: usize) -> Vec<(usize, f64)> {
        let mut all: Vec<(usize, f64)> = self.class_probs.iter().copied().enumerate().collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(k);
        all
    }

    /// The prediction as a JSON object in one line, with the photo's path or name where it has one, ready to be shown: what
    /// `hydranet predict --json` prints and `hydranet serve` answers.
    #[cfg(feature = "cli")]
    pub(crate) fn to_json(&self, path: Option<&str>) -> String {
        // Numbers and texts alone always are JSON.
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(path) = path {
            value["path"] = path.into();
        }
        crate::escape::printable_json(&value.to_string()).into_owned()
    }

    /// The label of the head named `head`, if there is one and it applies.
    pub fn label(&self, head: &str) -> Option<&str> {
        let head = self.heads.iter().find(|h| h.head == head)?;
        head.label.as_deref()
    }

    /// The labels of the head named `head`, if there is one of several at once and it applies.
    pub fn labels(&self, head: &str) -> Option<&[String]> {
        let head = self.heads.iter().find(|h| h.head == head)?;
        head.labels.as_deref()
    }
}
