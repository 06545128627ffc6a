//! Heads that apply only under labels of others, and combinations that do not occur.

use super::{Labels, MAX_CLASSES, invalid};
use crate::error::{Error, Result};

/// Places of the tree that are looked at, for each final class there may be: nearly all of more are impossible.
const COMBINATIONS: usize = 50;

/// Heads by place, and labels of them.
type Places = Vec<(usize, Vec<usize>)>;

/// The final classes as the leaves of a tree whose levels are the heads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    /// The conditions of each head.
    pub(super) when: Vec<Places>,
    pub(super) impossible: Vec<Places>,
    /// Whether a photo may have several of a head's labels at once: then no leaf has one of them.
    several: Vec<bool>,
    /// Each final class, a label a head, `None` for one that does not apply; in ascending order.
    pub(super) leaves: Vec<Vec<Option<usize>>>,
}

impl Tree {
    /// `None` if there is neither a condition nor an impossible combination, nor a head of several labels at once.
    pub(super) fn new(
        heads: &[String],
        labels: &[Vec<String>],
        several: &[bool],
        when: &[Labels],
        impossible: &[Labels],
    ) -> Result<Option<Self>> {
        let plain = !several.contains(&true);
        if plain && when.iter().all(Labels::is_empty) && impossible.is_empty() {
            return Ok(None);
        }
        // Conditions and combinations are of labels of which a photo has one.
        let single = |what: &str, found: Places| match found.iter().find(|(h, _)| several[*h]) {
            None => Ok(found),
            Some((head, _)) => Err(invalid(
                what,
                "heads of one label a photo",
                &format!("`{}`, a head of several labels at once", heads[*head]),
            )),
        };
        let mut conditions = Vec::new();
        for (place, head) in heads.iter().enumerate() {
            let what = format!("`when` of head `{head}`");
            let of_head = when.get(place);
            let found = of_head.map_or(Ok(Vec::new()), |w| places(&what, heads, labels, w))?;
            let found = single(&what, found)?;
            if let Some((other, _)) = found.iter().find(|(other, _)| *other >= place) {
                let other = format!("`{}`", heads[*other]);
                return Err(invalid(&what, "heads that come before it", &other));
            }
            conditions.push(found);
        }
        let impossible: Vec<Places> = impossible
            .iter()
            .map(|entry| {
                if entry.is_empty() {
                    return Err(invalid(
                        "`impossible`",
                        "labels of heads in each entry",
                        "none",
                    ));
                }
                single(
                    "`impossible`",
                    places("`impossible`", heads, labels, entry)?,
                )
            })
            .collect::<Result<_>>()?;
        let mut tree = Self {
            when: conditions,
            impossible,
            several: several.to_vec(),
            leaves: Vec::new(),
        };
        tree.grow(labels, Vec::new(), &mut (COMBINATIONS * MAX_CLASSES));
        if tree.leaves.len() > MAX_CLASSES {
            let expected = format!("at most {MAX_CLASSES}");
            return Err(invalid("final classes", &expected, "more"));
        }
        let mut met: Vec<Vec<bool>> = labels.iter().map(|l| vec![false; l.len()]).collect();
        for leaf in &tree.leaves {
            for (met, label) in met.iter_mut().zip(leaf) {
                if let Some(label) = label {
                    met[*label] = true;
                }
            }
        }
        let parts = heads.iter().zip(labels).enumerate();
        for (place, (head, names)) in parts.filter(|(place, _)| !several[*place]) {
            for (label, name) in names.iter().enumerate() {
                if !met[place][label] {
                    return Err(invalid(
                        "`when` and `impossible`",
                        "every label of every head in some final class",
                        &format!("label `{name}` of head `{head}` in none"),
                    ));
                }
            }
        }
        Ok(Some(tree))
    }

    /// Adds the leaves below the labels of the first heads, until there are too many of them or too many places were looked at.
    fn grow(&mut self, labels: &[Vec<String>], start: Vec<Option<usize>>, left: &mut usize) {
        let place = start.len();
        if *left == 0 || self.leaves.len() > MAX_CLASSES {
            // What was not looked at may be as many again.
            self.leaves.resize(MAX_CLASSES + 1, Vec::new());
            return;
        }
        *left -= 1;
        if place == labels.len() {
            if !self.is_ruled_out(&start) {
                self.leaves.push(start);
            }
            return;
        }
        let is_met =
            |(head, of): &(usize, Vec<usize>)| start[*head].is_some_and(|l| of.contains(&l));
        let is_part = !self.several[place] && self.when[place].iter().all(is_met);
        let next: Vec<Option<usize>> = if is_part {
            (0..labels[place].len()).map(Some).collect()
        } else {
            vec![None]
        };
        for label in next {
            let mut below = start.clone();
            below.push(label);
            self.grow(labels, below, left);
        }
    }

    fn is_ruled_out(&self, labels: &[Option<usize>]) -> bool {
        let has = |(head, of): &(usize, Vec<usize>)| labels[*head].is_some_and(|l| of.contains(&l));
        self.impossible.iter().any(|entry| entry.iter().all(has))
    }

    pub(super) fn is_possible(&self, labels: &[Option<usize>]) -> bool {
        let applies = self.applies(labels).into_iter().zip(labels);
        let known: Vec<Option<usize>> = applies
            .map(|(applies, label)| label.filter(|_| applies == Some(true)))
            .collect();
        !self.is_ruled_out(&known)
    }

    pub(super) fn applies(&self, labels: &[Option<usize>]) -> Vec<Option<bool>> {
        let mut all: Vec<Option<bool>> = Vec::with_capacity(self.when.len());
        for conditions in &self.when {
            let met: Vec<Option<bool>> = conditions
                .iter()
                .map(|(head, of)| match all[*head] {
                    Some(false) => Some(false),
                    applies => match labels.get(*head).copied().flatten() {
                        Some(label) if !of.contains(&label) => Some(false),
                        // A label that is known where the head may not apply says nothing for certain.
                        Some(_) => applies,
                        None => None,
                    },
                })
                .collect();
            // One condition that is not met decides, whatever is not known of the others.
            let met = if met.contains(&Some(false)) {
                Some(false)
            } else {
                met.into_iter().all(|m| m.is_some()).then_some(true)
            };
            all.push(met);
        }
        all
    }

    pub(super) fn class_of(&self, labels: &[Option<usize>]) -> Option<usize> {
        let leaf: Option<Vec<Option<usize>>> = self
            .applies(labels)
            .into_iter()
            .zip(labels)
            .zip(&self.several)
            .map(|((applies, label), several)| {
                if *several {
                    Some(None)
                } else if applies? {
                    label.map(Some)
                } else {
                    Some(None)
                }
            })
            .collect();
        self.leaves.binary_search(&leaf?).ok()
    }
}

/// Names as places.
fn places(what: &str, heads: &[String], labels: &[Vec<String>], names: &Labels) -> Result<Places> {
    let mut found = Places::new();
    for (head, wanted) in names {
        let Some(place) = heads.iter().position(|h| h == head) else {
            return Err(Error::UnknownName {
                what: "head",
                found: head.clone(),
                known: heads.to_vec(),
            });
        };
        if wanted.is_empty() {
            let expected = format!("at least one label of head `{head}`");
            return Err(invalid(what, &expected, "none"));
        }
        let label = |name: &String| {
            let at = labels[place].iter().position(|l| l == name);
            at.ok_or_else(|| Error::UnknownName {
                what: "label",
                found: name.clone(),
                known: labels[place].clone(),
            })
        };
        found.push((place, wanted.iter().map(label).collect::<Result<_>>()?));
    }
    found.sort();
    Ok(found)
}
