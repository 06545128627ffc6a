//! How the labels of two columns go together.

use super::column::Column;
use std::collections::{BTreeMap, BTreeSet};

/// Counts of photos by their labels in two columns; words for what is not known count as nothing.
pub(super) struct Pairs<'a> {
    both: BTreeMap<(&'a str, &'a str), usize>,
    first: BTreeMap<&'a str, usize>,
    second: BTreeMap<&'a str, usize>,
    /// Photos with a label of the first column and none of the second.
    alone: BTreeMap<&'a str, usize>,
    all: usize,
}

impl<'a> Pairs<'a> {
    pub(super) fn of(first: &'a Column, second: &'a Column) -> Self {
        let unknown = [first.unknown(), second.unknown()];
        let known = |column: usize, cell: &str| {
            !cell.is_empty() && !unknown[column].iter().any(|u| u == cell)
        };
        let mut pairs = Self {
            both: BTreeMap::new(),
            first: BTreeMap::new(),
            second: BTreeMap::new(),
            alone: BTreeMap::new(),
            all: 0,
        };
        for (a, b) in first.cells.iter().zip(&second.cells) {
            *pairs.both.entry((a.as_str(), b.as_str())).or_default() += 1;
        }
        // What is done a word at a time is done for the few different ones, not for each photo.
        pairs.both.retain(|(a, b), photos| {
            if known(0, a) && !known(1, b) {
                *pairs.alone.entry(*a).or_default() += *photos;
            }
            known(0, a) && known(1, b)
        });
        for ((a, b), photos) in &pairs.both {
            *pairs.first.entry(*a).or_default() += photos;
            *pairs.second.entry(*b).or_default() += photos;
            pairs.all += photos;
        }
        pairs
    }

    /// The labels of the second column that occur with each of the first.
    pub(super) fn children(&self) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
        let mut children: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (a, b) in self.both.keys() {
            children.entry(*a).or_default().insert(*b);
        }
        children
    }

    /// Whether each label of the second column occurs with one of the first only, which has several labels.
    pub(super) fn refines(&self) -> bool {
        self.first.len() > 1 && self.both.len() == self.second.len()
    }

    /// Whether each label of either column that occurs with one of the other occurs with that alone.
    pub(super) fn is_same(&self) -> bool {
        self.refines() && self.both.len() == self.first.len()
    }

    /// Photos with a label of the first column.
    pub(super) fn of_first(&self, label: &str) -> usize {
        let count = |of: &BTreeMap<&str, usize>| of.get(label).copied().unwrap_or(0);
        count(&self.first) + count(&self.alone)
    }

    /// The labels of the first column that labels of the second occur with, in the order of the column, and those, with their
    /// photos, that none occurs with though there are `enough` photos.
    pub(super) fn with_and_without(
        &self,
        first: &Column,
        enough: usize,
    ) -> (Vec<String>, Vec<(String, usize)>) {
        let labels = || first.known().into_iter().map(|(label, _)| label);
        let with = labels()
            .filter(|a| self.first.contains_key(a.as_str()))
            .collect();
        let without = labels().filter(|a| !self.first.contains_key(a.as_str()));
        let without =
            without.map(|a| (a.clone(), self.alone.get(a.as_str()).copied().unwrap_or(0)));
        (with, without.filter(|(_, n)| *n >= enough).collect())
    }

    /// Whether nine tenths of the photos whose first label occurs with second ones have a second one.
    pub(super) fn is_mostly_known(&self) -> bool {
        let alone = self
            .alone
            .iter()
            .filter(|(a, _)| self.first.contains_key(**a));
        9 * alone.map(|(_, n)| n).sum::<usize>() <= self.all
    }

    /// The labels of the second column that never occur with one of the first, and how many photos there would be if the two had
    /// nothing to do with each other.
    pub(super) fn absent(&self, a: &str) -> Vec<(String, f64)> {
        let of_a = self.first.get(a).copied().unwrap_or(0) as f64;
        let absent = self.second.iter();
        let absent = absent.filter(|(b, _)| !self.both.contains_key(&(a, **b)));
        absent
            .map(|(b, n)| (b.to_string(), of_a * *n as f64 / self.all.max(1) as f64))
            .collect()
    }
}
