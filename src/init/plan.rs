//! Columns of labels and numbers as heads: which apply only under labels of others, and which combinations do not occur.

use super::column::Column;
use super::numbers;
use super::pairs::Pairs;
use super::sets::{Sets, sets};
use crate::head::{HeadSpec, MultiLabelSpec, check_names};
use crate::taxonomy::Labels;
use std::collections::{BTreeMap, BTreeSet};

/// Photos that a combination of labels would have by chance, if it had nothing against it, so that having none says something.
const EXPECTED: f64 = 10.0;
/// Photos of a label, so that it says something that none of them has a label of another column.
const ENOUGH: usize = 10;
/// Names that are tried for a head.
const TRIES: usize = 100;

/// A head to be.
pub(super) struct Planned {
    pub(super) spec: HeadSpec,
    /// Photos of each label, in its order.
    pub(super) counts: Vec<usize>,
    /// Photos without a label that the head may apply to.
    pub(super) missing: usize,
    /// Words for labels that are not known, with their photos; and words that may be such.
    pub(super) unknown: Vec<(String, usize)>,
    pub(super) doubtful: Vec<(String, usize)>,
    /// Words for a photo that has none of several labels, with their photos.
    pub(super) none: Vec<(String, usize)>,
    /// Whether the labels are whole numbers.
    pub(super) counted: bool,
}

/// Heads and what is impossible between them.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) heads: Vec<Planned>,
    pub(super) impossible: Vec<Labels>,
    /// Combinations without a photo, of which there are too few photos to tell.
    pub(super) rare_pairs: usize,
    pub(super) said: Vec<String>,
    /// The head that has a label of a column, by column and label.
    heads_of: BTreeMap<(usize, String), String>,
}

impl Plan {
    /// Heads for these columns, in their order. Folders that are not there are no classes; rows that are not there may be chance.
    pub(super) fn new(columns: &[&Column], is_folder: bool) -> Self {
        let mut plan = Self::default();
        let enough = if is_folder { 1 } else { ENOUGH };
        // Columns that became one head.
        let mut whole: Vec<usize> = Vec::new();
        for (place, column) in columns.iter().enumerate() {
            // Of a column without heads nothing is asked.
            let pairs: Vec<Option<Pairs>> = (0..place)
                .map(|before| {
                    let has_heads = plan.heads_of.keys().any(|(of, _)| *of == before);
                    has_heads.then(|| Pairs::of(columns[before], column))
                })
                .collect();
            // The nearest column first: what a level applies under is mostly the level above it.
            let nearest_first = || {
                pairs
                    .iter()
                    .enumerate()
                    .rev()
                    .filter_map(|(before, p)| Some((before, p.as_ref()?)))
            };
            if let Some((before, pairs)) = nearest_first().find(|(_, pairs)| pairs.refines()) {
                if pairs.is_same() {
                    plan.said.push(format!(
                        "  `{}` says the same as `{}`, and is no head",
                        column.name, columns[before].name
                    ));
                } else {
                    plan.beneath(place, column, before, pairs);
                }
                continue;
            }
            let Some(head) = plan.add(column, column.known(), &column.name, Labels::new()) else {
                continue;
            };
            for (label, _) in column.known() {
                plan.heads_of.insert((place, label), head.clone());
            }
            for (before, pairs) in nearest_first() {
                let (with, without) = pairs.with_and_without(columns[before], enough);
                if is_folder || pairs.is_mostly_known() {
                    plan.apply_under(before, &with, &without);
                }
                if whole.contains(&before) {
                    plan.rule_out(before, &with, &head, pairs, is_folder);
                }
            }
            whole.push(place);
        }
        plan
    }

    /// A head of a column of numbers.
    pub(super) fn add_numbers(&mut self, column: &Column) {
        let borders = column
            .numbers()
            .and_then(|all| Some((numbers::borders(&all)?, all)));
        let Some((borders, all)) = borders else {
            self.said.push(format!(
                "  `{}`: numbers that borders do not divide, no head",
                column.name
            ));
            return;
        };
        let part = |v: &f64| borders.iter().filter(|b| v >= b).count();
        let names = numbers::names(&borders);
        let count = |i: usize| all.iter().filter(|v| part(v) == i).count();
        let labels = names
            .into_iter()
            .enumerate()
            .map(|(i, name)| (name, count(i)))
            .collect();
        if self
            .add(column, labels, &column.name, Labels::new())
            .is_some()
            && let Some(head) = self.heads.last_mut()
        {
            head.spec.labels.thresholds = borders;
        }
    }

    /// A head of a column whose cells name several labels at once.
    pub(super) fn add_sets(&mut self, column: &Column) {
        let Some(found) = sets(column) else {
            return;
        };
        let Sets {
            labels,
            none,
            mixed,
        } = found;
        let before = self.heads.len();
        let is_said = |word: &String| none.iter().any(|(none, _)| none == word);
        self.add_spec(column, labels, &column.name, |spec| {
            let of_column = spec.labels.column.take();
            let unknown = std::mem::take(&mut spec.labels.unknown);
            let layers = std::mem::take(&mut spec.layers);
            *spec = HeadSpec::multi_label(spec.name.clone(), spec.labels.names.clone());
            spec.layers = layers;
            spec.labels.column = of_column;
            spec.labels.unknown = unknown.into_iter().filter(|w| !is_said(w)).collect();
            let words = none.iter().map(|(word, _)| word.clone());
            let words = words.filter(|word| word != MultiLabelSpec::NONE).collect();
            spec.labels.multi_label = Some(MultiLabelSpec {
                none: words,
                ..MultiLabelSpec::default()
            });
        });
        if let Some(head) = self.heads.get_mut(before) {
            head.unknown.retain(|(word, _)| !is_said(word));
            head.doubtful.retain(|(word, _)| !is_said(word));
            let unknown: usize = head.unknown.iter().map(|(_, n)| n).sum();
            head.missing = column.cells.len() - column.filled() + unknown;
            head.none = none;
            if let Some((cell, _)) = mixed.first() {
                let photos: usize = mixed.iter().map(|(_, n)| n).sum();
                self.said.push(format!(
                    "  `{}`: {photos} cells such as `{cell}` have a word for none of the labels, or for what nobody knows, \
                     among others; data is not read with them, so look at them first; that word is no label",
                    column.name
                ));
            }
        }
    }

    /// A head for each label of another column beneath which this one has several labels.
    fn beneath(&mut self, place: usize, column: &Column, before: usize, pairs: &Pairs) {
        for (parent, children) in pairs.children() {
            let Some(head) = self.heads_of.get(&(before, parent.to_string())).cloned() else {
                continue;
            };
            let labels: Vec<(String, usize)> = column
                .known()
                .into_iter()
                .filter(|(label, _)| children.contains(label.as_str()))
                .collect();
            let all = labels.iter().map(|(_, n)| n).sum::<usize>();
            if labels.len() < 2 {
                continue;
            }
            let when = Labels::from([(head, vec![parent.to_string()])]);
            let name = self.add(column, labels.clone(), parent, when);
            if let (Some(name), Some(head)) = (name, self.heads.last_mut()) {
                head.missing = pairs.of_first(parent).saturating_sub(all);
                // Of all of the column's words, not of this part.
                head.unknown.clear();
                head.spec.labels.unknown = column.unknown();
                head.doubtful
                    .retain(|(word, _)| children.contains(word.as_str()));
                for (label, _) in labels {
                    self.heads_of.insert((place, label), name.clone());
                }
            }
        }
    }

    /// Makes the last head apply only under labels of an earlier column, where it has no labels under others, and they are all of
    /// one head.
    fn apply_under(&mut self, before: usize, with: &[String], without: &[(String, usize)]) {
        let head_of = |label: &String| self.heads_of.get(&(before, label.clone()));
        let heads: Option<BTreeSet<&String>> = with.iter().map(head_of).collect();
        let heads: Vec<String> = heads.into_iter().flatten().cloned().collect();
        let ([head], Some(last)) = (&heads[..], self.heads.last_mut()) else {
            return;
        };
        if !without.is_empty() && last.spec.labels.when.is_empty() {
            let elsewhere: usize = without.iter().map(|(_, n)| n).sum();
            last.missing = last.missing.saturating_sub(elsewhere);
            last.spec.labels.when.insert(head.clone(), with.to_vec());
        }
    }

    /// Rules out combinations of labels of `head` and an earlier column that is one head.
    fn rule_out(
        &mut self,
        before: usize,
        with: &[String],
        head: &str,
        pairs: &Pairs,
        is_folder: bool,
    ) {
        let first = with.first();
        let first = first.and_then(|label| self.heads_of.get(&(before, label.clone())));
        let Some(first) = first.cloned() else {
            return;
        };
        let mut by_labels: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
        for label in with {
            let mut never = Vec::new();
            for (other, expected) in pairs.absent(label) {
                if is_folder || expected >= EXPECTED {
                    never.push(other);
                } else {
                    self.rare_pairs += 1;
                }
            }
            if !never.is_empty() {
                by_labels.entry(never).or_default().push(label.clone());
            }
        }
        for (labels, of_first) in by_labels {
            let entry = [(first.clone(), of_first), (head.to_string(), labels)];
            self.impossible.push(entry.into());
        }
    }

    /// Adds a head under a name like this one that no table of predictions has otherwise; its name, if it can be one.
    fn add(
        &mut self,
        column: &Column,
        labels: Vec<(String, usize)>,
        called: &str,
        when: Labels,
    ) -> Option<String> {
        self.add_spec(column, labels, called, |spec| {
            spec.labels.when = when.clone();
        })
    }

    /// The same of a head with `more` settings.
    fn add_spec(
        &mut self,
        column: &Column,
        labels: Vec<(String, usize)>,
        called: &str,
        more: impl Fn(&mut HeadSpec),
    ) -> Option<String> {
        let counted = |words: Vec<String>| -> Vec<(String, usize)> {
            words
                .into_iter()
                .map(|w| (w.clone(), column.counts[&w]))
                .collect()
        };
        let base = as_name(called);
        let others = (2..TRIES).map(|i| format!("{base}_{i}"));
        let names = [base.clone(), format!("{base}_label")]
            .into_iter()
            .chain(others);
        let (names_of, counts): (Vec<String>, Vec<usize>) = labels.into_iter().unzip();
        let before: Vec<HeadSpec> = self.heads.iter().map(|h| h.spec.clone()).collect();
        let spec = names.map(|name| {
            let mut spec = HeadSpec::new(name.clone(), names_of.clone());
            spec.labels.column = (name != column.name).then(|| column.name.clone());
            spec.labels.unknown = column.unknown();
            spec.layers.dropout = 0.2;
            more(&mut spec);
            spec
        });
        let fits = |spec: &HeadSpec| {
            let mut all = before.clone();
            all.push(spec.clone());
            // Some systems tell no `Age.toml` from `age.toml`.
            let file = spec.name.to_lowercase();
            let is_new = before.iter().all(|h| h.name.to_lowercase() != file);
            file != "model" && is_new && check_names(&all).is_ok() && spec.validate().is_ok()
        };
        let Some(spec) = spec.into_iter().find(fits) else {
            self.said.push(format!(
                "  `{}`: its words cannot be labels (too long, or not printable), no head",
                column.name
            ));
            return None;
        };
        let name = spec.name.clone();
        self.heads.push(Planned {
            missing: column.cells.len().saturating_sub(counts.iter().sum()),
            spec,
            counts,
            unknown: counted(column.unknown()),
            doubtful: counted(column.doubtful()),
            none: Vec::new(),
            counted: column.numbers().is_some(),
        });
        Some(name)
    }
}

/// A word as the name of a head: letters, digits, `_` and `-`.
fn as_name(word: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name: String = word
        .chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .collect();
    match name.trim_matches('_') {
        "" => "head".into(),
        name => name.chars().take(60).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns out of rows, each of them so often.
    fn plan(rows: &[(&str, usize)], is_folder: bool) -> Plan {
        let width = rows[0].0.split('/').count();
        let column = |i: usize| {
            let cells = rows.iter().flat_map(|(row, times)| {
                let cell = row.split('/').nth(i).unwrap_or_default();
                vec![cell.to_string(); *times]
            });
            Column::new(format!("level{}", i + 1), cells.collect())
        };
        let columns: Vec<Column> = (0..width).map(column).collect();
        Plan::new(&columns.iter().collect::<Vec<_>>(), is_folder)
    }

    fn when(plan: &Plan, head: &str) -> Labels {
        let found = plan.heads.iter().find(|h| h.spec.name == head).unwrap();
        found.spec.labels.when.clone()
    }

    fn labels(entries: &[(&str, &[&str])]) -> Labels {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let entries = entries.iter();
        entries
            .map(|(head, labels)| (head.to_string(), words(labels)))
            .collect()
    }

    #[test]
    fn a_word_for_none_or_unknown_among_labels_is_no_label_and_is_said() {
        let cells = ["red;long", "None;red", "None", "unknown", "long;unknown"];
        let cells = cells.iter().cycle().take(50).map(ToString::to_string);
        let mut plan = Plan::default();
        plan.add_sets(&Column::new("tags", cells.collect()));
        let [head] = &plan.heads[..] else {
            panic!("{:?}", plan.said);
        };
        assert_eq!(head.spec.labels.names, ["long", "red"]);
        assert_eq!(head.spec.labels.unknown, ["unknown"]);
        let several = head.spec.labels.multi_label.as_ref().unwrap();
        assert_eq!(several.none, ["None"]);
        let said = plan.said.join("\n");
        assert!(said.contains("20 cells such as `None;red`"), "{said}");
    }

    #[test]
    fn a_level_applies_under_the_label_above_it() {
        let found = plan(
            &[
                ("fruit/apple/", 4),
                ("fruit/plum/red", 4),
                ("fruit/plum/blue", 4),
                ("veg/leek/", 4),
                ("veg/kale/", 4),
            ],
            true,
        );
        let names: Vec<&str> = found.heads.iter().map(|h| h.spec.name.as_str()).collect();
        assert_eq!(names, ["level1", "fruit", "veg", "level3"]);
        assert_eq!(when(&found, "fruit"), labels(&[("level1", &["fruit"])]));
        assert_eq!(when(&found, "level3"), labels(&[("fruit", &["plum"])]));
        assert_eq!(found.heads[3].missing, 0);
        assert!(found.impossible.is_empty());
    }

    #[test]
    fn what_is_not_there_is_impossible_in_folders_and_in_rows_if_it_would_be_expected() {
        let rows = [("a/x", 40), ("a/y", 40), ("b/x", 40), ("c/y", 3)];
        let in_folders = plan(&rows, true);
        let expected = [
            labels(&[("level1", &["c"]), ("level2", &["x"])]),
            labels(&[("level1", &["b"]), ("level2", &["y"])]),
        ];
        assert_eq!(in_folders.impossible, expected);
        let in_rows = plan(&rows, false);
        assert_eq!(in_rows.impossible, expected[1..]);
        assert_eq!(in_rows.rare_pairs, 1);
    }

    #[test]
    fn a_column_that_says_the_same_is_no_head() {
        let found = plan(&[("cat/0", 9), ("dog/1", 9)], false);
        assert_eq!(found.heads.len(), 1);
        assert!(
            found.said[0].contains("the same as `level1`"),
            "{:?}",
            found.said
        );
    }
}
