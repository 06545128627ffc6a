//! What a column of a table holds, told by what stands in it.

use super::sets::sets;
use crate::data::sample::Split;
use std::collections::{BTreeMap, BTreeSet};

/// More labels than this are not taken for labels.
pub(super) const MOST_LABELS: usize = 200;
/// Photos a label has on average at least.
pub(super) const PHOTOS_A_LABEL: usize = 5;
/// Different numbers that may still be labels.
const NUMBERS_AS_LABELS: usize = 10;
/// Groups there are at least: fewer cannot be divided into three sides.
const FEWEST_GROUPS: usize = 5;

/// Words of names of columns that hold who or what is on a photo.
const GROUPS: [&str; 16] = [
    "person",
    "people",
    "patient",
    "subject",
    "user",
    "sender",
    "group",
    "owner",
    "author",
    "family",
    "session",
    "identity",
    "individual",
    "specimen",
    "animal",
    "participant",
];
/// Words of names of columns that hold labels, whatever stands beside them.
const LABELS: [&str; 6] = ["label", "class", "category", "type", "kind", "target"];

/// Words for a label that nobody knows, in small letters.
const UNKNOWN: [&str; 23] = [
    "?",
    "-",
    "n/a",
    "na",
    "nan",
    "null",
    "nil",
    "unknown",
    "not sure",
    "not_sure",
    "unsure",
    "unclear",
    "undefined",
    "unspecified",
    "unlabeled",
    "unlabelled",
    "skip",
    "skipped",
    "missing",
    "ambiguous",
    "don't know",
    "not known",
    "tbd",
];
/// Words that may mean the same, or a label.
const DOUBTFUL: [&str; 6] = ["other", "others", "none", "misc", "mixed", "undecided"];

/// A column and what stands in it.
pub(super) struct Column {
    pub(super) name: String,
    /// A cell a photo, without spaces around it.
    pub(super) cells: Vec<String>,
    /// How often each word occurs, without empty cells.
    pub(super) counts: BTreeMap<String, usize>,
}

/// What a column is taken for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Role {
    /// Sides of the split.
    Sides,
    /// Who or what is on the photos.
    Groups,
    /// Labels.
    Labels,
    /// Several labels at once.
    Sets,
    /// Numbers.
    Numbers,
    /// Nothing to learn, and why.
    Nothing(&'static str),
    /// It cannot be told, and what it may be.
    Unsure(&'static str),
}

impl Column {
    pub(super) fn new(name: impl Into<String>, cells: Vec<String>) -> Self {
        let mut counts = BTreeMap::new();
        for cell in cells.iter().filter(|cell| !cell.is_empty()) {
            *counts.entry(cell.clone()).or_default() += 1;
        }
        Self {
            name: name.into(),
            cells,
            counts,
        }
    }

    /// Cells that are not empty.
    pub(super) fn filled(&self) -> usize {
        self.counts.values().sum()
    }

    /// The words that say that nobody knows.
    pub(super) fn unknown(&self) -> Vec<String> {
        self.words(&UNKNOWN)
    }

    /// The words that may say so.
    pub(super) fn doubtful(&self) -> Vec<String> {
        self.words(&DOUBTFUL)
    }

    /// Whether a word says that nobody knows.
    pub(super) fn is_unknown(word: &str) -> bool {
        UNKNOWN.contains(&word.to_lowercase().as_str())
    }

    fn words(&self, among: &[&str]) -> Vec<String> {
        let is_one = |word: &&String| among.contains(&word.to_lowercase().as_str());
        self.counts.keys().filter(is_one).cloned().collect()
    }

    /// The words that are known, with their numbers of photos, in their order: numbers by size, else by letter.
    pub(super) fn known(&self) -> Vec<(String, usize)> {
        let unknown = self.unknown();
        let known = self
            .counts
            .iter()
            .filter(|(word, _)| !unknown.contains(word));
        let mut known: Vec<(String, usize)> = known.map(|(w, n)| (w.clone(), *n)).collect();
        if known.iter().all(|(word, _)| number(word).is_some()) {
            known.sort_by(|(a, _), (b, _)| {
                number(a)
                    .unwrap_or(0.0)
                    .total_cmp(&number(b).unwrap_or(0.0))
            });
        }
        known
    }

    /// The numbers in it; `None` if something that is known is none.
    pub(super) fn numbers(&self) -> Option<Vec<f64>> {
        let known = self.known();
        let repeated = known.iter().map(|(word, n)| Some(vec![number(word)?; *n]));
        let numbers: Option<Vec<Vec<f64>>> = repeated.collect();
        numbers
            .map(|numbers| numbers.concat())
            .filter(|all| !all.is_empty())
    }

    /// Whether its words are codes: the same letters and then two digits or more.
    pub(super) fn holds_codes(&self) -> bool {
        let start = |word: &str| -> Option<String> {
            let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
            // Without letters it is a number, unless it is filled up with zeros.
            let is_set = !letters.is_empty() || word.starts_with('0');
            let is_code = is_set && word.len() - letters.len() >= 2 && letters.chars().count() <= 8;
            is_code.then(|| letters.to_string())
        };
        let starts: Option<BTreeSet<String>> = self.counts.keys().map(|w| start(w)).collect();
        starts.is_some_and(|starts| starts.len() == 1)
    }

    fn is_called(&self, words: &[&str]) -> bool {
        let name = self.name.to_lowercase();
        let mut parts = name.split(|c: char| !c.is_alphanumeric());
        parts.any(|part| {
            words
                .iter()
                .any(|word| part.trim_end_matches('s') == *word || part == *word)
        })
    }

    /// Whether its name says that it holds groups.
    pub(super) fn is_called_group(&self) -> bool {
        self.is_called(&GROUPS) || (self.is_called(&["id"]) && !self.is_called(&LABELS))
    }

    /// What it is taken for.
    pub(super) fn role(&self) -> Role {
        let known = self.known();
        let (different, filled) = (known.len(), known.iter().map(|(_, n)| n).sum::<usize>());
        let sides: BTreeSet<Split> = known
            .iter()
            .filter_map(|(w, _)| Split::of_word(w).ok())
            .collect();
        if different == 0 {
            return Role::Nothing("empty");
        }
        if different == 1 {
            return Role::Nothing("the same for every photo");
        }
        if sides.len() >= 2 && known.iter().all(|(word, _)| Split::of_word(word).is_ok()) {
            return Role::Sides;
        }
        if !["person", "group"].contains(&self.name.as_str()) && sets(self).is_some() {
            return Role::Sets;
        }
        if different == filled && filled > FEWEST_GROUPS && self.numbers().is_none_or(|n| whole(&n))
        {
            return Role::Nothing("different for every photo");
        }
        if self.is_called(&["fold", "kfold", "cv"]) {
            return Role::Nothing("folds; `hydranet experiment` makes its own");
        }
        let repeats = different >= FEWEST_GROUPS && 10 * different <= 9 * filled;
        // These are read as persons whatever they hold.
        if ["person", "group"].contains(&self.name.as_str()) {
            return Role::Groups;
        }
        if repeats && (self.is_called_group() || self.holds_codes() && !self.is_called(&LABELS)) {
            return Role::Groups;
        }
        if let Some(numbers) = self.numbers() {
            let few = different <= NUMBERS_AS_LABELS && filled >= PHOTOS_A_LABEL * different;
            return if few && whole(&numbers) {
                Role::Labels
            } else {
                Role::Numbers
            };
        }
        if different <= MOST_LABELS && filled >= PHOTOS_A_LABEL * different {
            Role::Labels
        } else if repeats {
            Role::Unsure("groups, or labels with few photos each")
        } else {
            Role::Unsure("text, or names")
        }
    }

    /// What a level of folders is taken for: labels, unless there are so many, or are codes beneath labels.
    pub(super) fn role_of_level(&self, is_first: bool) -> Role {
        let known = self.known().len();
        match self.role() {
            Role::Nothing(why) if known < 2 => Role::Nothing(why),
            _ if known > MOST_LABELS && is_first => Role::Unsure("groups, or very many labels"),
            _ if !is_first && known >= 20 && self.holds_codes() => Role::Groups,
            _ if known > MOST_LABELS => Role::Unsure("groups, or very many labels"),
            _ => Role::Labels,
        }
    }
}

fn number(word: &str) -> Option<f64> {
    word.parse::<f64>().ok().filter(|v| v.is_finite())
}

fn whole(numbers: &[f64]) -> bool {
    numbers.iter().all(|n| n.fract() == 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, words: &[&str], times: usize) -> Column {
        let cells = words.iter().cycle().take(words.len() * times);
        Column::new(name, cells.map(ToString::to_string).collect())
    }

    fn numbered(name: &str, start: &str, different: usize, times: usize) -> Column {
        let words: Vec<String> = (0..different).map(|i| format!("{start}{i:03}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        column(name, &words, times)
    }

    #[test]
    fn columns_are_told_apart_by_what_stands_in_them() {
        let years: Vec<String> = (0..60).map(|i| (i % 47).to_string()).collect();
        for (column, role) in [
            (column("kids", &["True", "False"], 20), Role::Labels),
            (
                column("whatever", &["red", "green", "blue", "Not sure"], 9),
                Role::Labels,
            ),
            (column("fold", &["train", "val", "TEST"], 9), Role::Sides),
            (numbered("sender_id", "g", 30, 4), Role::Groups),
            (numbered("x", "g", 30, 4), Role::Groups),
            (
                column("patient", &["ann", "bob", "cid", "dan", "eve"], 3),
                Role::Groups,
            ),
            (Column::new("years", years), Role::Numbers),
            (column("weight", &["0.5", "1.25"], 50), Role::Numbers),
            (
                column("tags", &["red;long", "red", "-", "long"], 9),
                Role::Sets,
            ),
            (column("count", &["1", "2", "3"], 9), Role::Labels),
            (column("note", &["", ""], 9), Role::Nothing("empty")),
            (
                column("source", &["web"], 9),
                Role::Nothing("the same for every photo"),
            ),
            (
                numbered("row", "", 40, 1),
                Role::Nothing("different for every photo"),
            ),
            (
                column("word", &["a", "b", "c", "d", "e", "f"], 2),
                Role::Unsure("groups, or labels with few photos each"),
            ),
        ] {
            assert_eq!(column.role(), role, "{}", column.name);
        }
    }

    #[test]
    fn words_that_nobody_knows_are_no_labels_and_doubtful_ones_stay() {
        let labels = column("label", &["Shirt", "Other", "Skip", "Not sure"], 9);
        assert_eq!(labels.unknown(), ["Not sure", "Skip"]);
        assert_eq!(labels.doubtful(), ["Other"]);
        assert_eq!(labels.known(), [("Other".into(), 9), ("Shirt".into(), 9)]);
        let sizes = column("size", &["10", "9", "?"], 9);
        assert_eq!(sizes.known(), [("9".into(), 9), ("10".into(), 9)]);
    }
}
