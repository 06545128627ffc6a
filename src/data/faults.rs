//! Faults of one kind, said in one line.

use super::sample::Fault;
use crate::error::{Error, row_word, shown};
use std::collections::BTreeMap;
use std::path::Path;

/// Lines of a listing, and words, that are named.
const NAMED: usize = 3;
/// Different words of one kind that are counted, such as labels that no head has.
const COUNTED: usize = 8;

/// Faults of a listing that differ in names and numbers alone.
struct Kind<'a> {
    first: &'a Fault,
    /// The lines they are on, those that are known.
    lines: Vec<u64>,
    count: usize,
    /// How often each word stands in a place where words are quoted, by its place.
    words: Vec<BTreeMap<&'a str, usize>>,
}

/// One line for each kind of faults, in the order in which the kinds begin: how many there are, the first lines they are on, the
/// message of the first, and in what the others differ.
pub(crate) fn by_kind(faults: &[Fault]) -> Vec<String> {
    let mut places: BTreeMap<(&Path, String), usize> = BTreeMap::new();
    let mut kinds: Vec<Kind> = Vec::new();
    for fault in faults {
        let key = (fault.listing.as_path(), form(&fault.message));
        let place = *places.entry(key).or_insert(kinds.len());
        if place == kinds.len() {
            kinds.push(Kind {
                first: fault,
                lines: Vec::new(),
                count: 0,
                words: Vec::new(),
            });
        }
        let kind = &mut kinds[place];
        kind.count += 1;
        kind.lines.extend(fault.row);
        for (place, word) in quoted(&fault.message).enumerate() {
            if kind.words.len() == place {
                kind.words.push(BTreeMap::new());
            }
            *kind.words[place].entry(word).or_default() += 1;
        }
    }
    kinds.iter().map(Kind::line).collect()
}

/// The first fault as an error, which says how many there are of its kind, and of others.
pub(crate) fn first(faults: &[Fault]) -> Option<Error> {
    let first = faults.first()?;
    let kind = form(&first.message);
    let alike = |f: &&Fault| f.listing == first.listing && form(&f.message) == kind;
    let alike = faults.iter().filter(alike).count();
    let others = faults.len() - alike;
    let mut fault = first.clone();
    if alike > 1 {
        fault.message += &format!("; there are {alike} of this kind");
    }
    if others > 0 {
        fault.message += &format!("; there are {others} of other kinds");
    }
    Some(fault.into())
}

impl Kind<'_> {
    fn line(&self) -> String {
        if self.count == 1 {
            return self.first.to_string();
        }
        let listing = shown(&self.first.listing);
        let lines: Vec<String> = self.lines.iter().take(NAMED).map(u64::to_string).collect();
        let place = match (self.lines.is_empty(), self.lines.len() > NAMED) {
            (true, _) => String::new(),
            (false, more) => format!(
                " ({}s {}{})",
                row_word(&self.first.listing),
                lines.join(", "),
                if more { " …" } else { "" }
            ),
        };
        let message = &self.first.message;
        let differ = self.words.iter().find(|words| words.len() > 1);
        let others = differ.map_or(String::new(), |words| counted(words, self.count));
        let what = if self.lines.is_empty() {
            "times"
        } else {
            "rows"
        };
        format!("{listing}: {} {what}{place}: {message}{others}", self.count)
    }
}

/// The words that faults differ in, the most frequent first.
fn counted(words: &BTreeMap<&str, usize>, faults: usize) -> String {
    let mut words: Vec<(&str, usize)> = words.iter().map(|(w, n)| (*w, *n)).collect();
    words.sort_by_key(|(word, n)| (usize::MAX - n, *word));
    // Words that hardly occur twice, as names of photos, are no kinds of their own.
    let shown = if 2 * words.len() > faults {
        NAMED
    } else {
        COUNTED
    };
    let named = words.iter().take(shown).map(|(word, n)| match n {
        1 => format!("`{word}`"),
        n => format!("`{word}` {n} times"),
    });
    let named: Vec<String> = named.collect();
    let more = match words.len().saturating_sub(shown) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(" (found in all: {}{more})", named.join(", "))
}

/// What stands between two backquotes.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(1).step_by(2)
}

/// A message without what tells faults of one kind apart: quoted words, numbers, and the photo it begins with.
fn form(message: &str) -> String {
    let rest = ["photo ", "cannot read "].iter().find_map(|start| {
        let (_, rest) = message.strip_prefix(start)?.split_once(": ")?;
        Some((start, rest))
    });
    let (start, rest) = rest.map_or(("", message), |(start, rest)| (*start, rest));
    let mut form = String::from(start);
    for (place, part) in rest.split('`').enumerate() {
        if place % 2 == 1 {
            form.push('`');
        } else {
            form.extend(part.chars().filter(|c| !c.is_ascii_digit()));
        }
    }
    form
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(messages: impl IntoIterator<Item = String>) -> Vec<Fault> {
        let fault = |(i, message)| Fault {
            source: 0,
            listing: "photos.csv".into(),
            row: Some(2 + i as u64),
            message,
        };
        messages.into_iter().enumerate().map(fault).collect()
    }

    #[test]
    fn three_hundred_faults_of_one_kind_are_one_line() {
        let missing = (0..307).map(|i| format!("cannot read images/{i}.jpg: no such file"));
        let labels = (0..9).map(|i| {
            let word = ["Skip", "Not sure", "Not sure"][i % 3];
            format!("column `label`: head `label` has no label `{word}`")
        });
        let lines = by_kind(&faults(missing.chain(labels)));
        assert_eq!(
            lines,
            [
                "photos.csv: 307 rows (lines 2, 3, 4 …): cannot read images/0.jpg: no such file",
                "photos.csv: 9 rows (lines 309, 310, 311 …): column `label`: head `label` has no label `Skip` \
                 (found in all: `Not sure` 6 times, `Skip` 3 times)"
            ]
        );
    }

    #[test]
    fn one_fault_is_as_it_was_and_other_listings_and_messages_are_other_kinds() {
        let mut all = faults(["a is needed, found `x`", "b is needed"].map(String::from));
        all.push(Fault {
            listing: "b.csv".into(),
            row: None,
            ..all[0].clone()
        });
        let alone: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(by_kind(&all), alone);
        let names = (0..20).map(|i| format!("each photo once, found `{i}.jpg` on line {i} too"));
        let [line] = &by_kind(&faults(names))[..] else {
            panic!("one kind")
        };
        assert!(
            line.ends_with("(found in all: `0.jpg`, `1.jpg`, `10.jpg` and 17 more)"),
            "{line}"
        );
    }
}
