//! The one error type. Each variant says what went wrong, where, what was expected and what was found.

use crate::escape::one_line;
use crate::nearest::hint;
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong, in words a user can act on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write a file.
    #[error("cannot {action} {}: {source}", shown(path))]
    Io {
        /// What was attempted: "read", "write", "create" …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },

    /// A photo could not be used.
    #[error("photo {}: {reason}", shown(path))]
    Image {
        /// The photo.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        reason: String,
    },

    /// A configuration or head file is not valid.
    #[error("{origin}: {message}")]
    Config {
        /// The file, or the command-line setting, the text came from.
        origin: String,
        /// The parser's or the check's message, with line and column where known.
        message: String,
    },

    /// A row of a listing cannot be used.
    #[error("{}{}: {message}", shown(path), row.map(|r| format!(", line {r}")).unwrap_or_default())]
    Data {
        /// The listing.
        path: PathBuf,
        /// Line in the file, counted from 1 with the header line; `None` if the whole file is meant.
        row: Option<u64>,
        /// What is wrong, expected and found.
        message: String,
    },

    /// A value is none of a head's labels.
    #[error(
        "head `{head}` has no label `{found}`; its labels are {}{}",
        listed(expected),
        hint(found, expected)
    )]
    UnknownLabel {
        /// The head.
        head: String,
        /// The labels it has.
        expected: Vec<String>,
        /// The value met.
        found: String,
    },

    /// A label or class index is outside its range.
    #[error("{what} {found} is out of range; it must be below {limit}")]
    OutOfRange {
        /// What the index counts.
        what: String,
        /// First index that is too large.
        limit: usize,
        /// The index met.
        found: usize,
    },

    /// A name (of a head, a backbone, a weights file …) is not known.
    #[error("there is no {what} named `{found}`; there is {}", if known.is_empty() { "none".to_string() } else { listed(known) + &hint(found, known) })]
    UnknownName {
        /// What kind of thing was asked for.
        what: &'static str,
        /// The name asked for.
        found: String,
        /// The names that would have been right.
        known: Vec<String>,
    },

    /// A specification contradicts itself or a limit.
    #[error("{what}: expected {expected}, found {found}")]
    Invalid {
        /// The setting or quantity.
        what: String,
        /// What would be right.
        expected: String,
        /// What was given.
        found: String,
    },

    /// A tensor has another shape than the operator needs.
    #[error("{what}: expected shape {expected}, found {found:?}")]
    Shape {
        /// The operator and its argument.
        what: String,
        /// The shape needed, in words or numbers.
        expected: String,
        /// The shape given.
        found: Vec<usize>,
    },

    /// A model or weights file cannot be used.
    #[error("{origin}: {problem}")]
    Checkpoint {
        /// The file, or "bytes" for a model held in memory.
        origin: String,
        /// What is wrong with it, expected and found.
        problem: String,
    },

    /// A split of the data has no photo that can be used.
    #[error("the {split} split of {origin} is empty: {reason}")]
    EmptySplit {
        /// train, valid or test.
        split: String,
        /// The listing or folder.
        origin: String,
        /// Why, and what to do.
        reason: String,
    },

    /// A trainable variable received no gradient.
    #[error("no gradient reached {} variables ({}{}); the graph between them and the loss is cut", names.len(), names[..names.len().min(5)].join(", "), if names.len() > 5 { ", …" } else { "" })]
    LostGradient {
        /// The variables, sorted.
        names: Vec<String>,
    },

    /// A loss or gradient is infinite or not a number.
    #[error(
        "{what} is {value} at epoch {epoch}, step {step}; try a lower learning rate or gradient clipping"
    )]
    NotFinite {
        /// The loss (of which head) or gradient (of which variable).
        what: String,
        /// The value met.
        value: f64,
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step within the epoch, counted from 1.
        step: usize,
    },

    /// candle reported an error.
    #[error(transparent)]
    Candle(candle_core::Error),
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Candle(without_backtrace(error))
    }
}

/// With `RUST_BACKTRACE` candle makes a backtrace a part of its messages; a user is served by what is wrong alone.
pub(crate) fn without_backtrace(error: candle_core::Error) -> candle_core::Error {
    use candle_core::Error::{Context, WithBacktrace, WithPath};
    let inner = |e: Box<candle_core::Error>| Box::new(without_backtrace(*e));
    match error {
        WithBacktrace { inner, .. } => without_backtrace(*inner),
        WithPath { inner: e, path } => WithPath {
            inner: inner(e),
            path,
        },
        Context { inner: e, context } => Context {
            inner: inner(e),
            context,
        },
        other => other,
    }
}

/// A path as a part of a message: whatever its characters, it stays in its line.
fn shown(path: &Path) -> String {
    one_line(&path.display().to_string()).into_owned()
}

/// Names of which a message lists the first.
fn listed(names: &[String]) -> String {
    const MOST: usize = 40;
    match names.len().saturating_sub(MOST) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..MOST].join(", ")),
    }
}

impl Error {
    /// Wraps an operating-system error with what was attempted on which path.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source,
        }
    }
}
