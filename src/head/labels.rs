//! Where a head's labels come from.

use super::fault::{Fault, fault};
use super::multi_label::MultiLabelSpec;
use super::number::NumberSpec;
use crate::error::{Error, Result as Outcome};
use crate::taxonomy::{Groups, Labels, MAX_CLASSES};

/// The labels of a head, and how one of them is told from a cell of the data.
///
/// A label comes either from a text column whose cells are the labels' names, or, with `thresholds`, from a column of numbers:
/// label i is `thresholds[i-1] <= value < thresholds[i]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelSpec {
    /// The labels in order, in a file the key `labels`; a label's index is its digit of the final class.
    pub names: Vec<String>,
    /// The column the label is read from; the head's name if absent.
    pub column: Option<String>,
    /// Words of the data for a label that is not known, such as `Not sure`; an empty cell is one in any case.
    pub unknown: Vec<String>,
    /// The labels of earlier heads under which this one applies, all of which have to be met:
    /// `when = { mask = ["worn", "incorrect"] }`. Empty: it always applies. Elsewhere its loss, its scores and the final class
    /// leave it out.
    pub when: Labels,
    /// Groups of labels, and of groups, by their names: `groups = { citrus = ["orange", "lemon"], pome = ["apple"] }`. Every
    /// label is in one group. The head learns and tells the labels; groups have the sum of their labels' probabilities, are
    /// scored and decided on level by level, and a cell of the data may name one where the label is not known. Empty: none.
    pub groups: Labels,
    /// Ascending borders that turn a number into a label; one fewer than there are labels. Empty: the column holds names.
    pub thresholds: Vec<f64>,
    /// Whether the labels have an order, so that a prediction two labels off is worse than one that is one off. Labels made by
    /// `thresholds` have one in any case.
    pub ordered: bool,
    /// Bands `[from, to]`, both included, of numbers that are left out of this head's training.
    pub drop: Vec<[f64; 2]>,
    /// Width of a soft border in training: across it the target moves linearly from one label to the next, half and half at
    /// the threshold. 0: a hard border. `thresholds = [30, 60]`, `soft_width = 20`: 58 counts 0.6 / 0.4.
    pub soft_width: f64,
    /// That the head predicts the number itself, and labels as what lies between `thresholds`: in a file `kind = "number"`.
    pub number: Option<NumberSpec>,
    /// That a photo may have several of the labels at once, or none: in a file `kind = "multi_label"`. Then the head is no part
    /// of the final class.
    pub multi_label: Option<MultiLabelSpec>,
}

impl LabelSpec {
    /// Names in a column that is called as the head, for a head that always applies.
    pub fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// What a cell of the data may say: the labels, and the groups.
    pub(crate) fn words(&self) -> Vec<String> {
        self.names
            .iter()
            .chain(self.groups.keys())
            .cloned()
            .collect()
    }

    /// Whether a label, or a group around it, is one of `words`.
    pub(crate) fn is_under(&self, label: usize, words: &[String]) -> bool {
        let Some(mut name) = self.names.get(label) else {
            return false;
        };
        // No deeper than there are groups, whatever they hold.
        for _ in 0..=self.groups.len() {
            if words.contains(name) {
                return true;
            }
            let around = self.groups.iter().find(|(_, of)| of.contains(name));
            match around {
                Some((group, _)) => name = group,
                None => return false,
            }
        }
        false
    }

    /// The groups as a tree, if there are any.
    ///
    /// # Errors
    /// [`Error::Invalid`] if they are none over these labels.
    pub(crate) fn tree(&self) -> Outcome<Option<Groups>> {
        Groups::new(&self.names, &self.groups)
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let labels = self.names.len();
        if labels < 2 {
            return fault("labels", "at least two", labels);
        }
        if labels > MAX_CLASSES {
            return fault("labels", format!("at most {MAX_CLASSES}"), labels);
        }
        if let Some(name) = self.names.iter().find(|l| l.trim().is_empty()) {
            return fault("labels", "names", format!("`{name}`"));
        }
        let is_label = |word: &&String| self.names.contains(word) || word.trim() != word.as_str();
        if let Some(word) = self.unknown.iter().find(|w| w.is_empty() || is_label(w)) {
            let expected = "words without spaces around them that are none of the labels";
            return fault("unknown", expected, format!("`{word}`"));
        }
        if !self.thresholds.is_empty() {
            self.check_thresholds()?;
        } else if self.soft_width != 0.0 || !self.drop.is_empty() {
            return fault("soft_width and drop", "`thresholds` beside them", "none");
        }
        if let Some(number) = &self.number {
            number.check(&self.thresholds)?;
        }
        if let Some(multi_label) = &self.multi_label {
            multi_label.check(&self.names, &self.unknown)?;
            self.check_without_order()?;
        }
        self.check_groups()?;
        let wrong = |[from, to]: &&[f64; 2]| from.is_nan() || to.is_nan() || from > to;
        if let Some(band) = self.drop.iter().find(wrong) {
            let expected = "bands [from, to] with from ≤ to";
            return fault("drop", expected, format!("{band:?}"));
        }
        Ok(())
    }

    /// Groups are of labels by name, of which a photo has one.
    fn check_groups(&self) -> Result<(), Fault> {
        if let Err(Error::Invalid {
            what,
            expected,
            found,
        }) = self.tree()
        {
            return fault(what, expected, found);
        }
        let found = if self.groups.is_empty() {
            return Ok(());
        } else if self.number.is_some() {
            "`kind = \"number\"`"
        } else if self.multi_label.is_some() {
            "`kind = \"multi_label\"`"
        } else if !self.thresholds.is_empty() {
            "`thresholds`"
        } else if let Some(word) = self.unknown.iter().find(|w| self.groups.contains_key(*w)) {
            let expected = "words that are no groups of labels";
            return fault("unknown", expected, format!("`{word}`"));
        } else {
            return Ok(());
        };
        let expected = "labels by their names, of which a photo has one, beside `groups`";
        fault("groups", expected, found)
    }

    /// Labels of which a photo may have several have neither an order nor a number.
    fn check_without_order(&self) -> Result<(), Fault> {
        let found = if self.number.is_some() {
            "a number"
        } else if !self.thresholds.is_empty() {
            "borders of a number"
        } else if self.ordered {
            "`ordered = true`"
        } else {
            return Ok(());
        };
        let expected = "labels without an order beside `kind = \"multi_label\"`";
        fault("labels", expected, found)
    }

    fn check_thresholds(&self) -> Result<(), Fault> {
        let (borders, labels) = (self.thresholds.len(), self.names.len());
        if borders + 1 != labels {
            let expected = format!("{} borders for {labels} labels", labels - 1);
            return fault("thresholds", expected, borders);
        }
        let gaps = self.thresholds.windows(2).map(|w| w[1] - w[0]);
        let finite = self.thresholds.iter().all(|t| t.is_finite());
        if !finite || self.thresholds.windows(2).any(|w| w[0] >= w[1]) {
            let found = format!("{:?}", self.thresholds);
            return fault("thresholds", "ascending numbers", found);
        }
        let gap = gaps.fold(f64::INFINITY, f64::min);
        if !(0.0..=gap).contains(&self.soft_width) || !self.soft_width.is_finite() {
            let expected =
                format!("a number from 0 to {gap}, the least distance of two thresholds");
            return fault("soft_width", expected, self.soft_width);
        }
        Ok(())
    }
}
