//! Names of heads and labels that tables and terminals can hold: short, printable, and no two columns alike.

use super::spec::HeadSpec;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// Characters of a head's name or of a label.
const MAX_CHARS: usize = 100;

/// Columns of listings and of written tables that are no head's.
const RESERVED: [&str; 10] = [
    "path", "listing", "person", "split", "class", "name", "prob", "joint", "abstains", "novelty",
];

/// What the columns of a number are called behind `<head>_`.
pub(crate) const NUMBER_COLUMNS: [&str; 3] = ["mean", "low", "high"];

/// What the columns of a level of groups of a head are called, from 1: its group, and the probability of that.
pub(crate) fn level_columns(head: &str, level: usize) -> [String; 2] {
    [
        format!("{head}_level_{level}"),
        format!("{head}_level_{level}_prob"),
    ]
}

/// Checks the names of the heads of one model.
///
/// Tables of predictions have for each head the columns `<head>`, `<head>_truth` and, for each label, `<head>_<label>`, of a
/// number [`NUMBER_COLUMNS`] too, of groups [`level_columns`], beside [`RESERVED`] ones.
///
/// # Errors
/// [`Error::Invalid`] naming the head or label, and with what it collides.
pub(crate) fn check_names(heads: &[HeadSpec]) -> Result<()> {
    let mut columns = BTreeMap::new();
    for head in heads {
        let name = &head.name;
        let what = "the name of a head";
        check_text(what, name)?;
        take_column(&mut columns, name, name.clone(), what, name)?;
        take_column(&mut columns, name, format!("{name}_truth"), what, name)?;
        if head.labels.number.is_some() {
            for part in NUMBER_COLUMNS {
                let column = format!("{name}_{part}");
                take_column(&mut columns, name, column, what, name)?;
            }
        }
        let levels = head.labels.tree()?.map_or(0, |tree| tree.levels().len());
        for column in (1..=levels).flat_map(|level| level_columns(name, level)) {
            take_column(&mut columns, name, column, what, name)?;
        }
        for group in head.labels.groups.keys() {
            check_text(&format!("head `{name}`, groups"), group)?;
        }
        let what = format!("head `{name}`, labels");
        for label in &head.labels.names {
            check_text(&what, label)?;
            take_column(&mut columns, name, format!("{name}_{label}"), &what, label)?;
        }
    }
    Ok(())
}

/// Refuses a name that is too long or would reach a terminal as more than text.
fn check_text(what: &str, name: &str) -> Result<()> {
    let chars = name.chars().count();
    let (expected, found) = if chars > MAX_CHARS {
        let start: String = name.chars().take(40).flat_map(char::escape_debug).collect();
        (
            format!("at most {MAX_CHARS} characters"),
            format!("{chars}: `{start}…`"),
        )
    } else if name.chars().any(char::is_control) {
        ("no control characters".into(), format!("{name:?}"))
    } else {
        return Ok(());
    };
    Err(Error::Invalid {
        what: what.into(),
        expected,
        found,
    })
}

/// Takes a column for a head, if it is no other's; `name` is the head's or label's that makes it.
fn take_column<'a>(
    columns: &mut BTreeMap<String, &'a str>,
    head: &'a str,
    column: String,
    what: &str,
    name: &str,
) -> Result<()> {
    let expected = if RESERVED.contains(&column.as_str()) {
        format!(
            "none of {}, which are columns of listings and of predictions",
            RESERVED.join(", ")
        )
    } else if let Some(other) = columns.insert(column.clone(), head) {
        format!("a column of predictions of its own, but head `{other}` has `{column}` too")
    } else {
        return Ok(());
    };
    Err(Error::Invalid {
        what: what.into(),
        expected,
        found: format!("`{name}`"),
    })
}
