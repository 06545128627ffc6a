//! The one error type. Each variant says what went wrong, where, what was expected and what was found.

use crate::escape::one_line;
use crate::location;
use crate::nearest::hint;
use std::fmt::{self, Formatter};
use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error behind another.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Everything that can go wrong, in words a user can act on.
///
/// `{error}` is what went wrong; what it follows from is its [`source`](std::error::Error::source), and said once: by a program
/// that prints the chain of sources, or by `{error:#}`, which is the whole chain.
///
/// ```
/// use std::error::Error;
/// let error = hydranet::Predictor::from_file("nowhere.safetensors").unwrap_err();
/// assert_eq!(error.to_string(), "cannot read nowhere.safetensors");
/// assert_eq!(format!("{error:#}"), format!("{error}: {}", error.source().unwrap()));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write a file.
    #[error(fmt = io)]
    Io {
        /// What was attempted: "read", "write", "create" …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },

    /// A photo could not be used.
    #[error(fmt = image)]
    Image {
        /// The photo.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        reason: String,
        /// The error that follows from, if another one does.
        source: Option<Cause>,
    },

    /// A configuration or head file is not valid.
    #[error(fmt = of_origin)]
    Config {
        /// The file, or the setting, the text came from.
        origin: String,
        /// The parser's or the check's message, with line and column where known.
        message: String,
        /// The parser's error, where the message does not say all of it.
        source: Option<Cause>,
    },

    /// A row of a listing cannot be used.
    #[error("{}{}: {message}", shown(path), row.map(|r| format!(", {} {r}", row_word(path))).unwrap_or_default())]
    Data {
        /// The listing.
        path: PathBuf,
        /// Line in the file, counted from 1 with the header line; of a table in Parquet its row, of a shard in tar its sample. `None` if the
        /// whole file is meant.
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

    /// Something is refused as it stands, and there is a call or a choice by which it is had.
    #[error("{what}: expected {expected}, found {found}")]
    Refused {
        /// The file, folder or quantity.
        what: String,
        /// What would be right.
        expected: String,
        /// What was given.
        found: String,
        /// What helps.
        remedy: Remedy,
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
    #[error(fmt = of_origin)]
    Checkpoint {
        /// The file, or "bytes" for a model held in memory.
        origin: String,
        /// What is wrong with it, expected and found.
        problem: String,
        /// The error behind it, if there is one.
        source: Option<Cause>,
    },

    /// A repository on the Hugging Face Hub, or a file in it, cannot be had or written.
    #[error("{origin}: {problem}")]
    Hub {
        /// What kind of failure it is: whether to try again, to ask for something else, or not to trust what came.
        kind: HubErrorKind,
        /// The repository or file, as it was asked for.
        origin: String,
        /// What was tried, what happened, and what to do.
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

    /// Another of the processes that train one model together failed, and with it the run.
    #[error("process {} of {size}: {problem}", rank + 1)]
    Process {
        /// Which one, from 0.
        rank: usize,
        /// How many there are.
        size: usize,
        /// What went wrong there.
        problem: String,
    },

    /// candle reported an error.
    #[error(transparent)]
    Candle(candle_core::Error),
}

/// What helps where something is [refused](Error::Refused). A program offers it in its own words: the command names an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// To attach the heads to their backbone, see [`HeadsFile::attach`](crate::heads::HeadsFile::attach).
    AttachHeads,
    /// To take the heads out of the model, see [`heads_only`](crate::heads::heads_only).
    ExtractHeads,
    /// To give a head of a model file another name, see [`rename`](crate::heads::rename), or to take it out.
    RenameHead,
    /// To name a folder that holds heads.
    HeadsFolder,
    /// To go on with the run that the folder holds, or to name another folder.
    Resume,
    /// To go on without the photos that cannot be read.
    SkipBroken,
    /// To let what is there be replaced.
    Overwrite,
}

/// What can be done about a failure on the Hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubErrorKind {
    /// The server cannot be reached, is too busy, or broke off, or someone else wrote at the same time: the same may succeed
    /// later, and a download goes on where it stopped.
    TryAgain,
    /// There is no such repository, revision or file, or none that the token given sees.
    NotFound,
    /// The token is missing or not valid, or may not do this.
    Forbidden,
    /// It is not in the cache, and the network may not be used.
    Offline,
    /// What came is not what the Hub says it is, or is not understood.
    Corrupt,
    /// What is asked for cannot be done: a folder too large, an address that is none.
    Invalid,
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

/// In the alternate form the causes behind a message, one after the other.
fn causes(mut next: Option<&(dyn std::error::Error + 'static)>, f: &mut Formatter) -> fmt::Result {
    while let Some(cause) = next.filter(|_| f.alternate()) {
        write!(f, ": {cause}")?;
        next = cause.source();
    }
    Ok(())
}

fn behind(source: &Option<Cause>) -> Option<&(dyn std::error::Error + 'static)> {
    source.as_deref().map(|s| s as _)
}

fn io(action: &str, path: &Path, source: &std::io::Error, f: &mut Formatter) -> fmt::Result {
    write!(f, "cannot {action} {}", shown(path))?;
    causes(Some(source), f)
}

fn image(path: &Path, reason: &str, source: &Option<Cause>, f: &mut Formatter) -> fmt::Result {
    write!(f, "photo {}: {reason}", shown(path))?;
    causes(behind(source), f)
}

fn of_origin(origin: &str, text: &str, source: &Option<Cause>, f: &mut Formatter) -> fmt::Result {
    write!(f, "{origin}: {text}")?;
    causes(behind(source), f)
}

/// What the rows of a listing are counted in.
pub(crate) fn row_word(listing: &Path) -> &'static str {
    match location::without_query(listing).extension() {
        Some(end) if end.eq_ignore_ascii_case("parquet") => "row",
        Some(end) if end.eq_ignore_ascii_case("tar") => "sample",
        _ => "line",
    }
}

/// A path as a part of a message: whatever its characters, it stays in its line, and what opens a URL to anyone is left out.
pub(crate) fn shown(path: &Path) -> String {
    one_line(&location::shown(&path.display().to_string())).into_owned()
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
    /// The same with other words for what it is about, where it says that apart.
    pub(crate) fn about(mut self, words: impl FnOnce(&str) -> String) -> Self {
        if let Self::Invalid { what, .. } | Self::Refused { what, .. } | Self::Shape { what, .. } =
            &mut self
        {
            *what = words(what);
        }
        self
    }

    /// Wraps an operating-system error with what was attempted on which path.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: std::io::Error,
    ) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source,
        }
    }
}
