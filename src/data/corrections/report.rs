//! What corrections did, and what they could not do.

use super::CorrectionsFile;
use crate::error::shown;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Why an entry is spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// Its photo or person is not in the data.
    Stale,
    /// The label is no longer the one it was when it was looked at; nothing was done.
    Changed,
    /// Another entry says something else, and holds.
    Conflict,
    /// A photo's own entry holds in place of its person's.
    Overruled,
    /// The model has no such head.
    OtherHead,
}

impl fmt::Display for NoteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stale => "stale",
            Self::Changed => "changed",
            Self::Conflict => "conflict",
            Self::Overruled => "overruled",
            Self::OtherHead => "other head",
        })
    }
}

/// An entry that did not do, or not everywhere, what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Why.
    pub kind: NoteKind,
    /// The file.
    pub path: PathBuf,
    /// The line of the entry.
    pub line: u64,
    /// In words.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, line) = (shown(&self.path), self.line);
        write!(f, "{path}, line {line}: {}: {}", self.kind, self.message)
    }
}

/// What corrections did. [`Display`](fmt::Display) gives a text, notes last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CorrectionsReport {
    /// The files.
    pub files: Vec<CorrectionsFile>,
    /// Labels that were changed or given.
    pub relabelled: usize,
    /// Labels that are as an entry wants them anyway.
    pub already: usize,
    /// Labels that were taken away.
    pub dropped_labels: usize,
    /// Photos that were left out.
    pub dropped_photos: usize,
    /// Labels that were seen and are right.
    pub kept: usize,
    /// What was passed over, ordered by file and line.
    pub notes: Vec<Note>,
    /// Of each photo that is left, which heads' labels an entry holds for: they have been looked at.
    #[serde(skip)]
    pub reviewed: Vec<Vec<bool>>,
}

impl fmt::Display for CorrectionsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: usize = self.files.iter().map(|f| f.entries).sum();
        write!(
            f,
            "corrections: {entries} entries of {} files; labels changed {}, as wanted already {}, dropped {}, kept {}; photos dropped {}",
            self.files.len(),
            self.relabelled,
            self.already,
            self.dropped_labels,
            self.kept,
            self.dropped_photos
        )?;
        self.notes.iter().try_for_each(|n| write!(f, "\n  {n}"))
    }
}
