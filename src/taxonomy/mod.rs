//! Labels ↔ final class.
//!
//! Where every head applies to every photo, the final class is the mixed-radix number whose digits are the labels of the heads in
//! their order, the first head the most significant. With mask (3), gender (2) and age (3): class = mask·6 + gender·3 + age.
//! Where some heads apply only under labels of others, or some combinations are impossible, the classes are the leaves that
//! remain, in the same order. A head of several labels at once stands beside the final class: no class has a label of it.

mod groups;
mod tree;

use crate::error::{Error, Result};
pub(crate) use groups::Groups;
use std::collections::BTreeMap;
use tree::Tree;

/// Some labels of some heads: by the head's name, its labels.
pub type Labels = BTreeMap<String, Vec<String>>;

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
/// assert_eq!(t.decode(15)?, [Some(2), Some(1), Some(0)]);
/// assert_eq!(t.class_name(15)?, "not_worn / female / young");
/// # Ok::<(), hydranet::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taxonomy {
    heads: Vec<String>,
    labels: Vec<Vec<String>>,
    /// Whether a photo may have several of a head's labels at once.
    several: Vec<bool>,
    /// Of each head the groups of its labels, if there are any.
    groups: Vec<Option<Groups>>,
    /// None: every head always applies and is part of the final class.
    tree: Option<Tree>,
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
        let taxonomy = Self::of_any_size(heads)?;
        taxonomy.check_size()?;
        Ok(taxonomy)
    }

    /// [`new`](Self::new) and [`with_tree`](Self::with_tree) at once: only the final classes that remain are counted. `several`
    /// says of each head whether a photo may have several of its labels at once, `groups` has those of its labels, which
    /// conditions and combinations may name in place of them.
    ///
    /// # Errors
    /// As these.
    pub(crate) fn of<N: Into<String>, L: Into<String>>(
        heads: impl IntoIterator<Item = (N, Vec<L>)>,
        several: Vec<bool>,
        groups: Vec<Option<Groups>>,
        when: &[Labels],
        impossible: &[Labels],
    ) -> Result<Self> {
        let all = Self::of_any_size(heads)?;
        let all = Self {
            several,
            groups,
            ..all
        };
        let labels = |list: &[Labels]| -> Vec<Labels> {
            list.iter().map(|names| all.without_groups(names)).collect()
        };
        let (when, impossible) = (labels(when), labels(impossible));
        let taxonomy = all.with_tree(&when, &impossible)?;
        if taxonomy.tree.is_none() {
            taxonomy.check_size()?;
        }
        Ok(taxonomy)
    }

    /// The same labels of heads, with those of a group in place of its name.
    fn without_groups(&self, names: &Labels) -> Labels {
        let of_head = |(head, names): (&String, &Vec<String>)| {
            let place = self.heads.iter().position(|h| h == head);
            let groups = place.and_then(|place| Some((place, self.groups(place)?)));
            let labels = names.iter().flat_map(|name| {
                let group = groups.and_then(|(place, groups)| {
                    let group = groups.names().iter().position(|g| g == name)?;
                    let labels = groups.labels()[group].iter();
                    Some(labels.map(|l| self.labels[place][*l].clone()).collect())
                });
                group.unwrap_or_else(|| vec![name.clone()])
            });
            (head.clone(), labels.collect())
        };
        names.iter().map(of_head).collect()
    }

    fn check_size(&self) -> Result<()> {
        let sizes = self.labels.iter().map(Vec::len);
        let combinations = sizes.fold(1usize, usize::saturating_mul);
        if combinations > MAX_CLASSES {
            return Err(invalid(
                "final classes",
                &format!("at most {MAX_CLASSES}"),
                &combinations.to_string(),
            ));
        }
        Ok(())
    }

    fn of_any_size<N: Into<String>, L: Into<String>>(
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
        for (head, labels) in heads.iter().zip(&labels) {
            if labels.len() < 2 {
                let what = format!("labels of head `{head}`");
                return Err(invalid(&what, "at least two", &labels.len().to_string()));
            }
            no_duplicate(&format!("labels of head `{head}`"), labels)?;
        }
        Ok(Self {
            several: vec![false; heads.len()],
            groups: vec![None; heads.len()],
            heads,
            labels,
            tree: None,
        })
    }

    /// The same heads, of which some apply only under some labels of heads before them: `when` holds the conditions of each head,
    /// all of which have to be met. And without the combinations that are `impossible`: those that have, of every head an entry
    /// names, one of the labels it lists.
    ///
    /// ```
    /// use hydranet::Taxonomy;
    /// let t = Taxonomy::new([("mask", vec!["worn", "not_worn"]), ("kind", vec!["cloth", "surgical"])])?;
    /// let under = |head: &str, label: &str| [(head.to_string(), vec![label.to_string()])].into();
    /// let t = t.with_tree(&[Default::default(), under("mask", "worn")], &[])?;
    /// assert_eq!(t.class_names(), ["worn / cloth", "worn / surgical", "not_worn"]);
    /// assert_eq!(t.decode(2)?, [Some(1), None]);
    /// # Ok::<(), hydranet::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownName`] if a condition or combination names no head or label there is, [`Error::Invalid`] if a condition
    /// names no earlier head or lists no label, or if a label is left that no final class has.
    pub fn with_tree(mut self, when: &[Labels], impossible: &[Labels]) -> Result<Self> {
        self.tree = Tree::new(&self.heads, &self.labels, &self.several, when, impossible)?;
        Ok(self)
    }

    /// Number of final classes: the product of the label counts, or the leaves there are.
    pub fn num_classes(&self) -> usize {
        match &self.tree {
            None => self.labels.iter().map(Vec::len).product(),
            Some(tree) => tree.leaves.len(),
        }
    }

    /// The labels of all final classes, in order, where these are no mixed-radix numbers of every head's labels: some heads do
    /// not apply to every final class or are no part of it, or some combinations are impossible.
    pub(crate) fn tree_leaves(&self) -> Option<&[Vec<Option<usize>>]> {
        self.tree.as_ref().map(|tree| tree.leaves.as_slice())
    }

    /// Whether combinations of labels were declared impossible.
    pub(crate) fn has_impossible(&self) -> bool {
        self.tree.as_ref().is_some_and(|t| !t.impossible.is_empty())
    }

    /// The heads' names in order.
    pub fn heads(&self) -> &[String] {
        &self.heads
    }

    /// The labels of head number `head`, in order.
    pub fn labels(&self, head: usize) -> &[String] {
        &self.labels[head]
    }

    /// Whether a photo may have several labels of head number `head` at once
    /// ([`LabelSpec::multi_label`](crate::LabelSpec::multi_label)), so that the head is no part of the final class; false where
    /// there is no such head.
    pub fn is_multi_label(&self, head: usize) -> bool {
        self.several.get(head).copied().unwrap_or(false)
    }

    /// The groups of the labels of head number `head`, if there are any.
    pub(crate) fn groups(&self, head: usize) -> Option<&Groups> {
        self.groups.get(head)?.as_ref()
    }

    /// Whether there is anything that tells final classes apart: some head is part of them.
    pub(crate) fn has_classes(&self) -> bool {
        self.several.contains(&false)
    }

    /// Which heads apply to something with these labels, `None` where one is not known. A head whose condition rests on a label
    /// that is not known, may or may not apply: `None`.
    pub(crate) fn applies(&self, labels: &[Option<usize>]) -> Vec<Option<bool>> {
        match &self.tree {
            None => vec![Some(true); self.heads.len()],
            Some(tree) => tree.applies(labels),
        }
    }

    /// These labels without those of heads that do not apply.
    pub(crate) fn applying(&self, labels: &[Option<usize>]) -> Vec<Option<usize>> {
        let pairs = self.applies(labels).into_iter().zip(labels);
        pairs
            .map(|(applies, label)| label.filter(|_| applies != Some(false)))
            .collect()
    }

    /// Whether what is known of labels, one a head, is no combination that was declared impossible.
    pub(crate) fn is_possible(&self, labels: &[Option<usize>]) -> bool {
        self.tree
            .as_ref()
            .is_none_or(|tree| tree.is_possible(labels))
    }

    /// The conditions under which head number `head` applies: earlier heads, and which of their labels; all have to be met.
    pub(crate) fn conditions(&self, head: usize) -> &[(usize, Vec<usize>)] {
        self.tree.as_ref().map_or(&[], |tree| &tree.when[head])
    }

    /// The final class of something with these labels, one a head; labels of heads that do not apply are ignored. `None` if a
    /// label that matters is not known, or the combination is impossible; or if there is not one label a head that it has; or if
    /// no head is part of the final class.
    pub fn class_of(&self, labels: &[Option<usize>]) -> Option<usize> {
        let mut pairs = labels.iter().zip(&self.labels);
        let known = pairs.all(|(label, names)| label.is_none_or(|l| l < names.len()));
        if labels.len() != self.heads.len() || !known || !self.has_classes() {
            return None;
        }
        match &self.tree {
            None => {
                let mut class = 0;
                for (label, names) in labels.iter().zip(&self.labels) {
                    class = class * names.len() + (*label)?;
                }
                Some(class)
            }
            Some(tree) => tree.class_of(labels),
        }
    }

    /// The final class of one label a head; labels of heads that do not apply are ignored.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if a label's index is too large, [`Error::Invalid`] if there is not one label a head, the
    /// combination is impossible, or no head is part of the final class.
    pub fn encode(&self, labels: &[usize]) -> Result<usize> {
        if labels.len() != self.heads.len() {
            return Err(invalid(
                "labels",
                &format!("one for each of {} heads", self.heads.len()),
                &labels.len().to_string(),
            ));
        }
        for ((label, names), head) in labels.iter().zip(&self.labels).zip(&self.heads) {
            if *label >= names.len() {
                return Err(Error::OutOfRange {
                    what: format!("label of head `{head}`"),
                    limit: names.len(),
                    found: *label,
                });
            }
        }
        if !self.has_classes() {
            return Err(invalid(
                "labels of a final class",
                "a head of which a photo has one label",
                "only heads of several labels at once",
            ));
        }
        let all: Vec<Option<usize>> = labels.iter().copied().map(Some).collect();
        self.class_of(&all).ok_or_else(|| {
            let found = self.name_of(&all);
            invalid(
                "labels",
                "a combination that is not declared impossible",
                &found,
            )
        })
    }

    /// The labels, one a head, of a final class; `None` for a head that does not apply to it, or is no part of final classes.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `class` is not below [`num_classes`](Self::num_classes).
    pub fn decode(&self, class: usize) -> Result<Vec<Option<usize>>> {
        if class >= self.num_classes() {
            return Err(Error::OutOfRange {
                what: "class".into(),
                limit: self.num_classes(),
                found: class,
            });
        }
        if let Some(tree) = &self.tree {
            return Ok(tree.leaves[class].clone());
        }
        let mut rest = class;
        let mut labels = vec![None; self.labels.len()];
        for (label, names) in labels.iter_mut().zip(&self.labels).rev() {
            *label = Some(rest % names.len());
            rest /= names.len();
        }
        Ok(labels)
    }

    /// The labels of all final classes, in order.
    pub(crate) fn leaves(&self) -> Vec<Vec<Option<usize>>> {
        let classes = 0..self.num_classes();
        classes
            .filter_map(|class| self.decode(class).ok())
            .collect()
    }

    /// The name of a final class: the labels of the heads that apply to it, joined by ` / `.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn class_name(&self, class: usize) -> Result<String> {
        Ok(self.name_of(&self.decode(class)?))
    }

    /// The names of all final classes, in order.
    pub fn class_names(&self) -> Vec<String> {
        (0..self.num_classes())
            .filter_map(|c| self.class_name(c).ok())
            .collect()
    }

    /// Labels by their names, joined by ` / `.
    pub(crate) fn name_of(&self, labels: &[Option<usize>]) -> String {
        let names: Vec<&str> = labels
            .iter()
            .zip(&self.labels)
            .filter_map(|(label, names)| Some(names.get((*label)?)?.as_str()))
            .collect();
        names.join(" / ")
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
    let mut met = std::collections::HashSet::new();
    for name in names {
        if !met.insert(name) {
            return Err(invalid(what, "each name once", &format!("`{name}` twice")));
        }
    }
    Ok(())
}
