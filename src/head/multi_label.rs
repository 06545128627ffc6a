//! Heads of several labels at once: a photo has any of the labels, all of them or none.

use super::fault::{Fault, fault};

/// Labels of which a photo may have several at once. Each has a probability of its own, σ of its output; they do not sum to 1.
///
/// A cell of the data names the labels of a photo with [`SEPARATORS`](Self::SEPARATORS) between them, `red;striped`, or says by
/// [`NONE`](Self::NONE) that it has none; an empty cell is not known, as for every head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MultiLabelSpec {
    /// Words of the data, beside [`NONE`](Self::NONE), for a photo that has none of the labels, such as `No finding`.
    pub none: Vec<String>,
    /// The probability from which on a label is said of a photo, one a label, each above 0 and at most 1; in a file the key
    /// `thresholds`. Empty: 0.5 each. `hydranet decide --thresholds` finds them on the validation split.
    pub thresholds: Vec<f64>,
}

impl MultiLabelSpec {
    /// The word of a cell for a photo that has none of the labels.
    pub const NONE: &'static str = "-";

    /// What stands between the labels in a cell.
    pub const SEPARATORS: [char; 2] = [';', '|'];

    /// The probability from which on each of `labels` labels is said.
    pub(crate) fn thresholds(&self, labels: usize) -> Vec<f64> {
        match self.thresholds.len() {
            0 => vec![0.5; labels],
            _ => self.thresholds.clone(),
        }
    }

    /// Whether a head of these labels and words for what is not known can have it.
    pub(super) fn check(&self, names: &[String], unknown: &[String]) -> Result<(), Fault> {
        let splits = |name: &&String| name.contains(Self::SEPARATORS);
        if let Some(name) = names.iter().find(splits) {
            let expected = "labels without `;` and `|`, which stand between those of a photo";
            return fault("labels", expected, format!("`{name}`"));
        }
        if let Some(name) = names.iter().find(|name| *name == Self::NONE) {
            let expected = "labels other than `-`, by which data says that a photo has none";
            return fault("labels", expected, format!("`{name}`"));
        }
        let is_taken = |word: &&String| names.contains(word) || unknown.contains(word);
        let is_empty = |word: &str| word.is_empty() || word.trim() != word;
        if let Some(word) = self.none.iter().find(|w| is_empty(w) || is_taken(w)) {
            let expected =
                "words without spaces around them that are neither labels nor in `unknown`";
            return fault("none", expected, format!("`{word}`"));
        }
        if unknown.iter().any(|word| word == Self::NONE) {
            let expected = "words other than `-`, which says that a photo has none of the labels";
            return fault("unknown", expected, "`-`");
        }
        if !self.thresholds.is_empty() && self.thresholds.len() != names.len() {
            let expected = format!("{}, one a label", names.len());
            return fault("thresholds", expected, self.thresholds.len());
        }
        match self.thresholds.iter().find(|t| !(**t > 0.0 && **t <= 1.0)) {
            Some(wrong) => {
                let expected =
                    "probabilities above 0 and at most 1, beside `kind = \"multi_label\"`";
                fault("thresholds", expected, wrong)
            }
            None => Ok(()),
        }
    }
}
