//! A cell that names several labels at once, `red;striped`, or says that there are none of them.

use crate::head::MultiLabelSpec;

/// A word of a cell that is no label.
#[derive(Debug, PartialEq)]
pub(crate) enum Word {
    /// It names none.
    Unknown(String),
    /// It was there before.
    Twice(String),
}

/// The places of the labels that a cell, which is not empty, names, ascending.
///
/// # Errors
/// The word that is none of `names`, or is there twice.
pub(crate) fn parse(
    spec: &MultiLabelSpec,
    names: &[String],
    cell: &str,
) -> Result<Vec<usize>, Word> {
    let mut found = Vec::new();
    if cell == MultiLabelSpec::NONE || spec.none.iter().any(|none| none == cell) {
        return Ok(found);
    }
    for word in cell.split(MultiLabelSpec::SEPARATORS).map(str::trim) {
        let Some(label) = names.iter().position(|name| name == word) else {
            return Err(Word::Unknown(word.into()));
        };
        if found.contains(&label) {
            return Err(Word::Twice(word.into()));
        }
        found.push(label);
    }
    found.sort_unstable();
    Ok(found)
}

/// A cell that names these labels.
pub(crate) fn written<'a>(labels: impl IntoIterator<Item = &'a str>) -> String {
    let labels: Vec<&str> = labels.into_iter().collect();
    if labels.is_empty() {
        MultiLabelSpec::NONE.into()
    } else {
        labels.join(";")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names() -> Vec<String> {
        ["red", "striped", "long sleeved"]
            .map(String::from)
            .to_vec()
    }

    #[test]
    fn a_cell_names_labels_or_none_of_them() {
        let spec = MultiLabelSpec {
            none: vec!["No finding".into()],
            ..MultiLabelSpec::default()
        };
        let parse = |cell: &str| parse(&spec, &names(), cell);
        assert_eq!(parse("red"), Ok(vec![0]));
        assert_eq!(parse("long sleeved ; red"), Ok(vec![0, 2]));
        assert_eq!(parse("striped|red"), Ok(vec![0, 1]));
        assert_eq!(parse("-"), Ok(vec![]));
        assert_eq!(parse("No finding"), Ok(vec![]));
        assert_eq!(parse("red;blue"), Err(Word::Unknown("blue".into())));
        assert_eq!(parse("red;"), Err(Word::Unknown(String::new())));
        assert_eq!(parse("red;-"), Err(Word::Unknown("-".into())));
        assert_eq!(parse("red;red"), Err(Word::Twice("red".into())));
    }

    proptest! {
        #[test]
        fn a_cell_that_is_written_is_read_again(chosen in prop::collection::btree_set(0..3usize, 0..=3)) {
            let names = names();
            let cell = written(chosen.iter().map(|l| names[*l].as_str()));
            let read = parse(&MultiLabelSpec::default(), &names, &cell);
            prop_assert_eq!(read, Ok(chosen.into_iter().collect::<Vec<_>>()));
        }
    }
}
