//! Labels ↔ final class, as arithmetic over integers.
//!
//! The final class is the mixed-radix number whose digits are the labels of the heads in their order, the first head the most
//! significant. With mask (3), gender (2) and age (3): class = mask·6 + gender·3 + age.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The heads' labels in order, and with them the space of final classes.
///
/// ```
/// use hydranet::Taxonomy;
/// let t = Taxonomy::new([
///     ("mask", vec!["worn", "incorrect", "not_worn"]),
///     ("gender", vec!["male", "female"]),
///     ("age", vec!["young", "middle", "old"]),
/// ])?;
/// assert_eq!(t.num_classes(), 18);
/// assert_eq!(t.encode(&[2, 1, 0])?, 15);
/// assert_eq!(t.decode(15)?, [2, 1, 0]);
/// assert_eq!(t.class_name(15)?, "not_worn / female / young");
/// # Ok::<(), hydranet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taxonomy {
    heads: Vec<String>,
    labels: Vec<Vec<String>>,
}

/// More final classes than this are refused: tables and confusion matrices would not fit in memory.
pub const MAX_CLASSES: usize = 100_000;

impl Taxonomy {
    /// A taxonomy from `(head, labels)` pairs, first head most significant.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no head, a name occurs twice, a head has fewer than two labels, or the product of the
    /// label counts exceeds [`MAX_CLASSES`].
    pub fn new<N: Into<String>, L: Into<String>>(
        heads: impl IntoIterator<Item = (N, Vec<L>)>,
    ) -> Result<Self> {
        let (heads, labels): (Vec<String>, Vec<Vec<String>>) = heads
            .into_iter()
            .map(|(n, l)| {
                (
                    n.into(),
                    l.into_iter().map(Into::into).collect::<Vec<String>>(),
                )
            })
            .unzip();
        if heads.is_empty() {
            return Err(invalid("heads", "at least one head", "none"));
        }
        no_duplicate("heads", &heads)?;
        let mut classes = 1usize;
        for (head, labels) in heads.iter().zip(&labels) {
            if labels.len() < 2 {
                let what = format!("labels of head `{head}`");
                return Err(invalid(&what, "at least two", &labels.len().to_string()));
            }
            no_duplicate(&format!("labels of head `{head}`"), labels)?;
            classes = classes.saturating_mul(labels.len());
        }
        if classes > MAX_CLASSES {
            return Err(invalid(
                "final classes",
                &format!("at most {MAX_CLASSES}"),
                &classes.to_string(),
            ));
        }
        Ok(Self { heads, labels })
    }

    /// Number of final classes: the product of the label counts.
    pub fn num_classes(&self) -> usize {
        self.labels.iter().map(Vec::len).product()
    }

    /// The heads' names in order.
    pub fn heads(&self) -> &[String] {
        &self.heads
    }

    /// The labels of head number `head`, in order.
    pub fn labels(&self, head: usize) -> &[String] {
        &self.labels[head]
    }

    /// The final class of one label a head.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a label's index is too large, [`Error::Invalid`] if there is not one label a head.
    pub fn encode(&self, labels: &[usize]) -> Result<usize> {
        if labels.len() != self.heads.len() {
            return Err(invalid(
                "labels",
                &format!("one for each of {} heads", self.heads.len()),
                &labels.len().to_string(),
            ));
        }
        let mut class = 0;
        for ((label, names), head) in labels.iter().zip(&self.labels).zip(&self.heads) {
            if *label >= names.len() {
                return Err(Error::OutOfRange {
                    what: format!("label of head `{head}`"),
                    limit: names.len(),
                    found: *label,
                });
            }
            class = class * names.len() + label;
        }
        Ok(class)
    }

    /// The labels, one a head, of a final class.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `class` is not below [`num_classes`](Self::num_classes).
    pub fn decode(&self, class: usize) -> Result<Vec<usize>> {
        if class >= self.num_classes() {
            return Err(Error::OutOfRange {
                what: "class".into(),
                limit: self.num_classes(),
                found: class,
            });
        }
        let mut rest = class;
        let mut labels = vec![0; self.labels.len()];
        for (label, names) in labels.iter_mut().zip(&self.labels).rev() {
            *label = rest % names.len();
            rest /= names.len();
        }
        Ok(labels)
    }

    /// The name of a final class: its labels joined by ` / `.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn class_name(&self, class: usize) -> Result<String> {
        let labels = self.decode(class)?;
        let names: Vec<&str> = labels
            .iter()
            .zip(&self.labels)
            .map(|(l, names)| names[*l].as_str())
            .collect();
        Ok(names.join(" / "))
    }

    /// The names of all final classes, in order.
    pub fn class_names(&self) -> Vec<String> {
        (0..self.num_classes())
            .filter_map(|c| self.class_name(c).ok())
            .collect()
    }
}

fn invalid(what: &str, expected: &str, found: &str) -> Error {
    Error::Invalid {
        what: what.into(),
        expected: expected.into(),
        found: found.into(),
    }
}

fn no_duplicate(what: &str, names: &[String]) -> Result<()> {
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return Err(invalid(what, "each name once", &format!("`{name}` twice")));
        }
    }
    Ok(())
}
