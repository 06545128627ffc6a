//! Columns whose cells name several labels at once, `red;striped`.

use super::column::{Column, MOST_LABELS, PHOTOS_A_LABEL};
use crate::head::MultiLabelSpec;
use std::collections::BTreeMap;

/// Cells that name several labels, of those that are filled, from which on a column is taken for one of sets: one in so many.
const CELLS: usize = 20;

/// Words for a photo that has none of the labels, in small letters.
const NONE: [&str; 4] = ["-", "none", "no finding", "nothing"];

/// The labels of a column of sets, and the words for none of them, each with its photos.
pub(super) struct Sets {
    pub(super) labels: Vec<(String, usize)>,
    pub(super) none: Vec<(String, usize)>,
    /// Cells with a word for none of the labels, or for what nobody knows, among several words: data is not read with them.
    pub(super) mixed: Vec<(String, usize)>,
}

/// The labels that a column's cells name, if some name several, each of them several times.
pub(super) fn sets(column: &Column) -> Option<Sets> {
    let splits = |cell: &str| cell.contains(MultiLabelSpec::SEPARATORS);
    let several = column.counts.iter().filter(|(cell, _)| splits(cell));
    let several: usize = several.map(|(_, photos)| photos).sum();
    if several * CELLS < column.filled() || several == 0 {
        return None;
    }
    let is_none = |cell: &str| NONE.contains(&cell.to_lowercase().as_str());
    let unknown = column.unknown();
    let known = column
        .counts
        .iter()
        .filter(|(c, _)| is_none(c) || !unknown.contains(c));
    let says_no_label = |word: &str| is_none(word) || Column::is_unknown(word);
    let (mut labels, mut none) = (BTreeMap::<String, usize>::new(), Vec::new());
    let mut mixed = Vec::new();
    for (cell, photos) in known {
        if is_none(cell) {
            none.push((cell.clone(), *photos));
            continue;
        }
        let words = || cell.split(MultiLabelSpec::SEPARATORS).map(str::trim);
        // Such cells are no sets, or have to be looked at.
        if words().any(str::is_empty) {
            return None;
        }
        if words().any(says_no_label) {
            mixed.push((cell.clone(), *photos));
        }
        for word in words().filter(|word| !says_no_label(word)) {
            *labels.entry(word.into()).or_default() += photos;
        }
    }
    let all: usize = labels.values().sum();
    let fits = (2..=MOST_LABELS).contains(&labels.len()) && all >= PHOTOS_A_LABEL * labels.len();
    fits.then(|| Sets {
        labels: labels.into_iter().collect(),
        none,
        mixed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_with_several_words_are_sets_where_the_words_repeat() {
        let column = |cells: &[&str], times: usize| {
            let all = cells.iter().cycle().take(cells.len() * times);
            Column::new("tags", all.map(ToString::to_string).collect())
        };
        let found = sets(&column(&["red;striped", "red | long", "None", "?", ""], 9)).unwrap();
        let expected = [("long", 9), ("red", 18), ("striped", 9)];
        assert_eq!(found.labels, expected.map(|(l, n)| (l.to_string(), n)));
        assert_eq!(found.none, [("None".to_string(), 9)]);
        assert!(found.mixed.is_empty());
        // What says that there is no label, or that nobody knows, is none beside labels either.
        let cells = ["red;striped", "long", "None;red", "None", "red;unknown"];
        let found = sets(&column(&cells, 9)).unwrap();
        let expected = [("long", 9), ("red", 27), ("striped", 9)];
        assert_eq!(found.labels, expected.map(|(l, n)| (l.to_string(), n)));
        let expected = [("None;red", 9), ("red;unknown", 9)];
        assert_eq!(found.mixed, expected.map(|(c, n)| (c.to_string(), n)));
        assert!(sets(&column(&["red", "long"], 9)).is_none());
        assert!(sets(&column(&["red;", "red;long"], 9)).is_none());
        // Sentences.
        let texts: Vec<String> = (0..40)
            .map(|i| format!("photo {i}; taken by {i}"))
            .collect();
        assert!(sets(&Column::new("note", texts)).is_none());
    }
}
