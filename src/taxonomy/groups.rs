//! Groups of a head's labels, and groups of groups: a tree whose leaves are the labels.

use super::{Labels, invalid};
use crate::error::Result;
use std::collections::BTreeMap;

/// Groups that may stand one in another: what is made of them is that many times the labels.
const MAX_DEPTH: usize = 16;

/// The groups of one head's labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Groups {
    /// In order; a group's place is that of its name.
    names: Vec<String>,
    /// Of each label, and behind them of each group, the group it stands in.
    parents: Vec<Option<usize>>,
    /// The labels of each group, ascending.
    labels: Vec<Vec<usize>>,
    /// Of each group, and behind them of all together, the greatest number of steps down to a label.
    heights: Vec<usize>,
    /// From the outermost groups to the innermost.
    levels: Vec<Level>,
}

/// One way to tell the labels apart by groups: at level k by the k-th group around each, counted from the outermost, or the
/// innermost there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    /// The groups, in the order of their first labels.
    pub names: Vec<String>,
    /// Of each label, its place among them.
    pub of_label: Vec<usize>,
    /// Of each group, the place that all its labels have; `None` where they have several.
    pub of_group: Vec<Option<usize>>,
}

impl Groups {
    /// `None` if there are no groups.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) naming the group: it is named as a label, holds nothing, something unknown or
    /// itself; a label is in none or in two; or there are not two groups beside each other.
    pub(crate) fn new(labels: &[String], groups: &Labels) -> Result<Option<Self>> {
        if groups.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = groups.keys().cloned().collect();
        let parents = parents(labels, &names, groups)?;
        let count = labels.len();
        let mut of_group = vec![Vec::new(); names.len()];
        let mut heights = vec![0; names.len() + 1];
        let mut chains = Vec::with_capacity(count);
        for (label, name) in labels.iter().enumerate() {
            let mut chain = Vec::new();
            let mut at = parents[label];
            while let Some(group) = at {
                if chain.len() == MAX_DEPTH {
                    let expected =
                        format!("at most {MAX_DEPTH} groups one in another, none in itself");
                    let found = format!("more around `{name}`");
                    return Err(invalid("groups", &expected, &found));
                }
                chain.push(group);
                of_group[group].push(label);
                heights[group] = heights[group].max(chain.len());
                at = parents[count + group];
            }
            heights[names.len()] = heights[names.len()].max(chain.len() + 1);
            chain.reverse();
            chains.push(chain);
        }
        if let Some(none) = of_group.iter().position(Vec::is_empty) {
            // Groups with something in them and no label are a circle.
            let what = format!("groups, {}", names[none]);
            return Err(invalid(
                &what,
                "a group with labels in it",
                "itself in itself",
            ));
        }
        let depth = chains.iter().map(Vec::len).max().unwrap_or(0);
        let levels = (0..depth).map(|level| Level::new(level, &chains, &names, &of_group));
        let levels: Vec<Level> = levels.collect();
        if let [only] = levels[0].names.as_slice() {
            let expected = "at least two groups that stand in no other";
            let found = format!("one, `{only}`, which holds every label");
            return Err(invalid("groups", expected, &found));
        }
        Ok(Some(Self {
            names,
            parents,
            labels: of_group,
            heights,
            levels,
        }))
    }

    /// The groups' names, in order.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Of each label, and behind them of each group, the group it stands in.
    pub(crate) fn parents(&self) -> &[Option<usize>] {
        &self.parents
    }

    /// The labels of each group, ascending.
    pub(crate) fn labels(&self) -> &[Vec<usize>] {
        &self.labels
    }

    /// From the outermost groups to the innermost.
    pub(crate) fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// How far apart two labels are: 0 if they are one, else the height of the least group that both are in, or of all labels
    /// together, above its labels. The measure of mistakes of Bertinetto et al. 2020, "Making Better Mistakes".
    pub(crate) fn distance(&self, a: usize, b: usize) -> usize {
        if a == b {
            return 0;
        }
        let count = self.parents.len() - self.names.len();
        let mut at = self.parents[a];
        while let Some(group) = at {
            if self.labels[group].binary_search(&b).is_ok() {
                return self.heights[group];
            }
            at = self.parents[count + group];
        }
        self.heights[self.names.len()]
    }

    /// The distance that is expected of each label from what a photo has, by the probabilities of the labels, in parts of the
    /// greatest distance there is; what the probabilities lack to 1 is left out.
    pub(crate) fn expected_distances(&self, probs: &[f64]) -> Vec<f64> {
        let count = self.parents.len() - self.names.len();
        let of_group = |labels: &Vec<usize>| labels.iter().map(|l| probs[*l]).sum();
        let sums: Vec<f64> = self.labels.iter().map(of_group).collect();
        let (all, greatest) = (
            probs.iter().sum::<f64>(),
            self.heights[self.names.len()] as f64,
        );
        let of_label = |label: usize| {
            let (mut cost, mut inside) = (0.0, probs[label]);
            let mut at = self.parents[label];
            while let Some(group) = at {
                cost += self.heights[group] as f64 * (sums[group] - inside);
                inside = sums[group];
                at = self.parents[count + group];
            }
            cost / greatest + (all - inside)
        };
        (0..count).map(of_label).collect()
    }

    /// [`distance`](Self::distance) in parts of the greatest there is.
    pub(crate) fn share_of_distance(&self, a: usize, b: usize) -> f64 {
        self.distance(a, b) as f64 / self.heights[self.names.len()] as f64
    }
}

impl Level {
    fn new(
        level: usize,
        chains: &[Vec<usize>],
        groups: &[String],
        of_group: &[Vec<usize>],
    ) -> Self {
        let mut places = BTreeMap::new();
        let mut names = Vec::new();
        let of_label = chains.iter().map(|chain| {
            let group = chain[level.min(chain.len() - 1)];
            *places.entry(group).or_insert_with(|| {
                names.push(groups[group].clone());
                names.len() - 1
            })
        });
        let of_label: Vec<usize> = of_label.collect();
        let of_group = of_group.iter().map(|labels| {
            let first = of_label[*labels.first()?];
            let all = labels.iter().all(|label| of_label[*label] == first);
            all.then_some(first)
        });
        Self {
            of_group: of_group.collect(),
            names,
            of_label,
        }
    }

    /// What the groups have together, from what each label has.
    pub(crate) fn sums(&self, of_labels: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.names.len()];
        for (place, value) in self.of_label.iter().zip(of_labels) {
            sums[*place] += value;
        }
        sums
    }
}

/// Of each label, and behind them of each group, the group it stands in.
fn parents(labels: &[String], names: &[String], groups: &Labels) -> Result<Vec<Option<usize>>> {
    let mut places = BTreeMap::new();
    for (place, name) in labels.iter().chain(names).enumerate() {
        let what = format!("groups, {name}");
        if name.is_empty() || name.trim() != name {
            let found = format!("`{name}`");
            return Err(invalid(
                "groups",
                "names without spaces around them",
                &found,
            ));
        }
        if places.insert(name.as_str(), place).is_some() {
            let expected = "another name than that of a label";
            return Err(invalid(&what, expected, &format!("`{name}`")));
        }
    }
    let mut parents = vec![None; labels.len() + names.len()];
    for (group, (name, members)) in groups.iter().enumerate() {
        let what = format!("groups, {name}");
        if members.is_empty() {
            let expected = "labels, or other groups, in each group";
            return Err(invalid(&what, expected, "none"));
        }
        for member in members {
            let Some(place) = places.get(member.as_str()) else {
                let expected = "labels of the head, or other groups";
                let found = format!("`{member}`, which is neither");
                return Err(invalid(&what, expected, &found));
            };
            if *place == labels.len() + group {
                let found = format!("`{member}` in itself");
                return Err(invalid(&what, "labels, or other groups", &found));
            }
            if let Some(other) = parents[*place].replace(group) {
                let expected = "each label and each group in one group, once";
                let found = if other == group {
                    format!("`{member}` twice")
                } else {
                    format!("`{member}`, which is in `{}` too", names[other])
                };
                return Err(invalid(&what, expected, &found));
            }
        }
    }
    let without: Vec<&String> = (0..labels.len())
        .filter(|label| parents[*label].is_none())
        .map(|label| &labels[label])
        .collect();
    if let Some(first) = without.first() {
        let more = match without.len() {
            1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let found = format!("`{first}`{more} in none");
        return Err(invalid("groups", "every label in a group", &found));
    }
    Ok(parents)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|w| w.to_string()).collect()
    }

    fn groups(groups: &[(&str, &[&str])]) -> Labels {
        let owned = groups
            .iter()
            .map(|(name, of)| (name.to_string(), words(of)));
        owned.collect()
    }

    fn fruit() -> Groups {
        let labels = words(&["orange", "carrot", "lemon", "apple", "pear"]);
        let groups = groups(&[
            ("citrus", &["orange", "lemon"]),
            ("fruit", &["citrus", "pome"]),
            ("pome", &["apple", "pear"]),
            ("root", &["carrot"]),
        ]);
        Groups::new(&labels, &groups).unwrap().unwrap()
    }

    #[test]
    fn groups_in_groups_make_levels_from_the_outermost_on() {
        let found = fruit();
        assert_eq!(found.names(), ["citrus", "fruit", "pome", "root"]);
        assert_eq!(found.labels()[1], [0, 2, 3, 4]);
        let [outer, inner] = found.levels() else {
            panic!("{:?}", found.levels())
        };
        assert_eq!(outer.names, ["fruit", "root"]);
        assert_eq!(outer.of_label, [0, 1, 0, 0, 0]);
        assert_eq!(outer.of_group, [Some(0), Some(0), Some(0), Some(1)]);
        // A group without groups in it stands for itself at deeper levels.
        assert_eq!(inner.names, ["citrus", "root", "pome"]);
        assert_eq!(inner.of_label, [0, 1, 0, 2, 2]);
        assert_eq!(inner.of_group, [Some(0), None, Some(2), Some(1)]);
        assert_eq!(inner.sums(&[0.1, 0.2, 0.3, 0.25, 0.15]), [0.4, 0.2, 0.4]);
    }

    #[test]
    fn labels_are_as_far_apart_as_their_least_group_is_high() {
        let found = fruit();
        assert_eq!(found.distance(0, 0), 0);
        assert_eq!(found.distance(0, 2), 1);
        assert_eq!(found.distance(2, 3), 2);
        assert_eq!(found.distance(3, 1), 3);
        assert_eq!(found.distance(1, 3), 3);
    }

    #[test]
    fn groups_that_are_no_tree_over_the_labels_are_refused_by_name() {
        let labels = words(&["orange", "lemon", "apple"]);
        type Case<'a> = (&'a [(&'a str, &'a [&'a str])], &'a str);
        let cases: [Case; 11] = [
            (&[("citrus", &["orange", "lemon"])], "`apple` in none"),
            (&[("a", &["orange", "lemon"]), ("b", &[])], "groups, b: "),
            (&[("a", &["orange", "kiwi"])], "`kiwi`, which is neither"),
            (
                &[("a", &["orange", "lemon"]), ("b", &["lemon", "apple"])],
                "`lemon`, which is in `a` too",
            ),
            (&[("a", &["orange", "orange"])], "`orange` twice"),
            (
                &[("lemon", &["orange"]), ("b", &["lemon", "apple"])],
                "name than that of a label",
            ),
            (&[("a", &["a"])], "`a` in itself"),
            (
                &[
                    ("a", &["b"]),
                    ("b", &["a"]),
                    ("c", &["orange", "lemon", "apple"]),
                ],
                "itself in itself",
            ),
            (&[("a", &["orange", "lemon", "apple"])], "one, `a`"),
            (
                &[("a", &["orange", "b"]), ("b", &["lemon", "apple"])],
                "one, `a`",
            ),
            (&[(" a", &["orange", "lemon"]), ("b", &["apple"])], "` a`"),
        ];
        for (wrong, message) in cases {
            let error = Groups::new(&labels, &groups(wrong))
                .unwrap_err()
                .to_string();
            assert!(error.contains(message), "{error}");
        }
        assert!(Groups::new(&labels, &Labels::new()).unwrap().is_none());
        // Deeper than is allowed, and a circle around a label.
        let name = |i: usize| format!("g{i:02}");
        let mut deep: Labels = (1..18).map(|i| (name(i), vec![name(i - 1)])).collect();
        deep.insert(name(0), words(&["orange", "lemon", "apple"]));
        let error = Groups::new(&labels, &deep).unwrap_err().to_string();
        assert!(error.contains("at most 16 groups"), "{error}");
    }
}
