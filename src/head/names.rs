//! Names of heads and labels that tables and terminals can hold: short, printable, and no two columns alike.

use super::HeadSpec;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// Characters of a head's name or of a label.
const MAX_CHARS: usize = 100;

/// Columns of listings and of written tables that are no head's.
const RESERVED: [&str; 9] = [
    "path", "person", "split", "class", "name", "prob", "joint", "abstains", "novelty",
];

/// Checks the names of the heads of one model.
///
/// A table of predictions has a column `<head>` for each head and a column `<head>_<label>` for each label, beside [`RESERVED`] ones.
///
/// # Errors
/// [`Error::Invalid`] naming the head or label, and with what it collides.
pub(crate) fn check_names(heads: &[HeadSpec]) -> Result<()> {
    let fail = |what: String, expected: String, found: String| {
        Err(Error::Invalid {
            what,
            expected,
            found,
        })
    };
    let mut columns = BTreeMap::new();
    for head in heads {
        let of_head = std::iter::once((head.name.as_str(), None))
            .chain(head.labels.iter().map(|l| (l.as_str(), Some(l))));
        for (name, label) in of_head {
            let (shown, chars) = (shortened(name), name.chars().count());
            let what = match label {
                Some(_) => format!("head `{}`, labels", shortened(&head.name)),
                None => "the name of a head".into(),
            };
            if chars > MAX_CHARS {
                let expected = format!("at most {MAX_CHARS} characters");
                return fail(what, expected, format!("{chars}: `{shown}`"));
            }
            if name.chars().any(char::is_control) {
                return fail(what, "no control characters".into(), format!("{name:?}"));
            }
            let column = match label {
                Some(label) => format!("{}_{label}", head.name),
                None => head.name.clone(),
            };
            if RESERVED.contains(&column.as_str()) {
                let expected = format!("none of {}", RESERVED.join(", "));
                let why = "which are columns of listings and of predictions";
                return fail(what, format!("{expected}, {why}"), format!("`{name}`"));
            }
            let truth = format!("{}_truth", head.name);
            let taken = label.is_some() && column == truth;
            if let Some(other) = columns
                .insert(column.clone(), &head.name)
                .or(taken.then_some(&head.name))
            {
                let expected = format!(
                    "a column of predictions of its own, but head `{other}` has `{column}` too"
                );
                return fail(what, expected, format!("`{name}`"));
            }
        }
    }
    Ok(())
}

/// The start of a text, without control characters.
fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        short.push('…');
    }
    short
}
