//! What the command adds to an error of the library: which of its own words helps.

use crate::error::Error;

/// A part of an error's words, and the advice behind them.
const HINTS: [(&str, &str); 7] = [
    (
        "they must be attached to it first",
        "`hydranet heads attach` does that",
    ),
    (
        "they must be taken out of it first",
        "`hydranet heads extract` does that",
    ),
    (
        "rename it first",
        "`hydranet heads rename` gives it another name",
    ),
    (
        "in the form of the Hugging Face Hub",
        "`hydranet export --hugging-face` writes one",
    ),
    ("or leave to overwrite it", "give --overwrite"),
    ("or have it made", "give --create"),
    (
        "to go on with the run in it",
        "give --resume, or another --out",
    ),
];

/// The words of an error with all its causes, and advice where the command has some.
pub(super) fn advised(error: &Error) -> String {
    let words = format!("{error:#}");
    let words = words.trim_end();
    match HINTS.iter().find(|(part, _)| words.contains(part)) {
        Some((_, advice)) => format!("{words}; {advice}"),
        None => words.into(),
    }
}
