//! One head as a file describes it.

use super::class_weights::ClassWeights;
use super::fault::{Fault, fault};
use super::labels::LabelSpec;
use super::layers::LayerSpec;
use super::loss::LossSpec;
use super::loss_kind::LossKind;
use super::multi_label::MultiLabelSpec;
use super::number::{NumberSpec, Sums};
use super::table::Table;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// One head, as written in `heads/<name>.toml`: where its labels come from, how they are taught, and what is built for them. In a
/// file the keys of all three stand side by side.
///
/// ```
/// use hydranet::{HeadSpec, LossKind};
/// let age = HeadSpec::new("age", ["young", "middle", "old"])
///     .with_thresholds([30.0, 60.0])
///     .with_loss(LossKind::EarthMover)
///     .with_hidden(64);
/// age.validate()?;
/// let read: HeadSpec = serde_json::from_str(
///     r#"{"name": "age", "labels": ["young", "middle", "old"], "thresholds": [30, 60], "loss": "earth_mover", "hidden": 64}"#,
/// ).unwrap();
/// assert_eq!(read, age);
/// # Ok::<(), hydranet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
pub struct HeadSpec {
    /// The head's name; also the name of its tensors.
    pub name: String,
    /// Where its labels come from.
    pub labels: LabelSpec,
    /// How they are taught.
    pub loss: LossSpec,
    /// What is built.
    pub layers: LayerSpec,
}

impl HeadSpec {
    /// A linear head with cross-entropy, weight 1 and every other setting at its default.
    pub fn new(
        name: impl Into<String>,
        labels: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            name: name.into(),
            labels: LabelSpec::new(labels),
            loss: LossSpec::default(),
            layers: LayerSpec::default(),
        }
    }

    /// With labels made from numbers by these borders, see [`LabelSpec::thresholds`].
    pub fn with_thresholds(mut self, thresholds: impl Into<Vec<f64>>) -> Self {
        self.labels.thresholds = thresholds.into();
        self
    }

    /// With labels made from numbers by these borders, of a head that predicts the number itself, see [`LabelSpec::number`].
    pub fn with_number(self, number: NumberSpec, thresholds: impl Into<Vec<f64>>) -> Self {
        let mut head = self.with_thresholds(thresholds);
        head.labels.number = Some(number);
        head
    }

    /// A linear head of labels of which a photo may have several at once, with binary cross-entropy, see
    /// [`LabelSpec::multi_label`].
    ///
    /// ```
    /// use hydranet::{HeadSpec, LossKind};
    /// let tags = HeadSpec::multi_label("tags", ["red", "striped"]);
    /// tags.validate()?;
    /// let read: HeadSpec =
    ///     serde_json::from_str(r#"{"name": "tags", "kind": "multi_label", "labels": ["red", "striped"]}"#).unwrap();
    /// assert_eq!(read, tags);
    /// assert_eq!(read.loss.kind, LossKind::BinaryCrossEntropy);
    /// # Ok::<(), hydranet::Error>(())
    /// ```
    pub fn multi_label(
        name: impl Into<String>,
        labels: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let mut head = Self::new(name, labels).with_loss(LossKind::BinaryCrossEntropy);
        head.labels.multi_label = Some(MultiLabelSpec::default());
        head
    }

    /// With groups of its labels, see [`LabelSpec::groups`], and hierarchical cross-entropy.
    ///
    /// ```
    /// use hydranet::{HeadSpec, LossKind};
    /// let fruit = HeadSpec::new("fruit", ["orange", "lemon", "apple"])
    ///     .with_groups([("citrus", vec!["orange", "lemon"]), ("pome", vec!["apple"])]);
    /// fruit.validate()?;
    /// let read: HeadSpec = serde_json::from_str(
    ///     r#"{"name": "fruit", "labels": ["orange", "lemon", "apple"],
    ///         "groups": {"citrus": ["orange", "lemon"], "pome": ["apple"]}}"#,
    /// ).unwrap();
    /// assert_eq!(read, fruit);
    /// # Ok::<(), hydranet::Error>(())
    /// ```
    pub fn with_groups<N: Into<String>, L: Into<String>>(
        self,
        groups: impl IntoIterator<Item = (N, Vec<L>)>,
    ) -> Self {
        let mut head = self.with_loss(LossKind::hierarchical());
        let groups = groups.into_iter();
        let groups = groups.map(|(n, of)| (n.into(), of.into_iter().map(Into::into).collect()));
        head.labels.groups = groups.collect();
        head
    }

    /// With another loss.
    pub fn with_loss(mut self, kind: LossKind) -> Self {
        self.loss.kind = kind;
        self
    }

    /// With a hidden layer of this width.
    pub fn with_hidden(mut self, width: usize) -> Self {
        self.layers.hidden = width;
        self
    }

    /// The column the label is read from.
    pub(crate) fn column(&self) -> &str {
        self.labels.column.as_deref().unwrap_or(&self.name)
    }

    /// Whether the labels have an order: they were made by `thresholds`, or it says so.
    pub(crate) fn is_ordered(&self) -> bool {
        self.labels.ordered || !self.labels.thresholds.is_empty()
    }

    /// Whether a photo may have several of its labels at once.
    pub(crate) fn is_multi_label(&self) -> bool {
        self.labels.multi_label.is_some()
    }

    /// Number of labels.
    pub fn num_labels(&self) -> usize {
        self.labels.names.len()
    }

    /// Values of a row that it is taught by: one a label and behind them one a group, in the order of their names, if it has any
    /// and its loss learns from them; or where it predicts a number one a bin.
    pub fn num_targets(&self) -> usize {
        let groups = if self.loss.kind.learns_from_groups() {
            self.labels.groups.len()
        } else {
            0
        };
        self.num_scores() + groups
    }

    /// What its layers tell apart: labels, or where it predicts a number bins.
    pub(crate) fn num_scores(&self) -> usize {
        let number = self.labels.number.as_ref();
        number.map_or(self.num_labels(), |n| n.bins)
    }

    /// Where it predicts a number, which bins make up which label.
    pub(crate) fn sums(&self) -> Option<Sums> {
        let number = self.labels.number.as_ref();
        number.map(|n| Sums::new(n, &self.labels.thresholds))
    }

    /// Checks the settings against each other.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the head, the setting, what is expected and what was found.
    pub fn validate(&self) -> Result<()> {
        self.check().map_err(|fault| Error::Invalid {
            what: format!("head `{}`, {}", self.name, fault.what),
            expected: fault.expected,
            found: fault.found,
        })
    }

    fn check(&self) -> std::result::Result<(), Fault> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.name.is_empty() || !self.name.chars().all(allowed) {
            let found = format!("`{}`", self.name);
            return fault("name", "letters, digits, `_` and `-`", found);
        }
        self.labels.check()?;
        self.loss.check(self.num_labels(), self.num_scores())?;
        if self.labels.number.is_some() && self.loss.kind.is_cumulative() {
            let expected =
                "a loss of one output a bin beside `kind = \"number\"`: neither coral nor corn";
            return fault("loss", expected, "one of borders between labels");
        }
        self.check_kind()?;
        self.layers.check(&self.name)
    }
}

impl HeadSpec {
    /// Labels of which a photo has one are taught by other losses than those of which it may have several.
    fn check_kind(&self) -> std::result::Result<(), Fault> {
        let (of_head, loss) = (self.is_multi_label(), self.loss.kind.is_multi_label());
        if of_head && !loss {
            let expected = "`binary_cross_entropy`, `asymmetric` or a sum of them beside `kind = \"multi_label\"`";
            let found = "a loss of labels of which a photo has one";
            return fault("loss", expected, found);
        }
        if loss && !of_head {
            let expected = "a loss of labels of which a photo has one, or `kind = \"multi_label\"`";
            let found = "a loss of labels of which it may have several";
            return fault("loss", expected, found);
        }
        if self.loss.kind.needs_groups() && self.labels.groups.is_empty() {
            let expected = "`groups` of labels beside the loss `hierarchical`";
            return fault("loss", expected, "none");
        }
        if of_head && matches!(self.loss.class_weights, ClassWeights::Rule(_)) {
            let expected = "a list of numbers, one a label, beside `kind = \"multi_label\"`";
            let found = "a rule, which is for labels of which a photo has one";
            return fault("class_weights", expected, found);
        }
        Ok(())
    }
}

/// Checks that a head of `labels` labels can have this loss.
pub(crate) fn check_loss(kind: &LossKind, labels: usize) -> Result<()> {
    kind.check(labels).map_err(|fault| Error::Invalid {
        what: fault.what,
        expected: fault.expected,
        found: fault.found,
    })
}
