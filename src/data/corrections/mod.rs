//! Corrections of labels: a file beside the data, applied when the data is loaded. The data itself is never changed, so taking an
//! entry out of the file takes the correction back.
//! As TOML or as CSV, one row an entry; the chapter `health` of the guide has both forms.

mod apply;
mod files;
mod report;
mod slots;

pub use report::{CorrectionsReport, NoteKind};

use super::dataset::Dataset;
pub use super::sample::CorrectionsFile;
use crate::error::{Error, Result, shown};
use crate::io::recognise::what_it_is;
use crate::tensors::hash::hexadecimal;
use sha2::{Digest, Sha256};
use std::path::Path;

/// The version of the format this crate reads and writes.
pub const VERSION: u32 = 1;

/// What a correction is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A photo, as its listing writes it; where two listings write the same, its whole path.
    Photo(String),
    /// All photos of a person.
    Person(String),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Photo(name) => write!(f, "photo `{name}`"),
            Self::Person(name) => write!(f, "person `{name}`"),
        }
    }
}

/// What is to be done. Labels are written as in a listing: a label's name, or a number for a head with thresholds, which takes
/// the name as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The head has this label.
    Relabel {
        /// The head.
        head: String,
        /// The label.
        label: String,
    },
    /// The head's label is not known, or, without a head, the photo is left out.
    Drop {
        /// The head.
        head: Option<String>,
    },
    /// Seen and right: the head's label, or, without a head, all of them. Changes nothing but what is still to be looked at.
    Keep {
        /// The head.
        head: Option<String>,
    },
}

impl Action {
    /// The word in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Relabel { .. } => "relabel",
            Self::Drop { .. } => "drop",
            Self::Keep { .. } => "keep",
        }
    }

    /// The head it is about; `None`: the whole photo.
    pub fn head(&self) -> Option<&str> {
        match self {
            Self::Relabel { head, .. } => Some(head),
            Self::Drop { head } | Self::Keep { head } => head.as_deref(),
        }
    }

    /// The new label.
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Relabel { label, .. } => Some(label),
            _ => None,
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())?;
        if let Some(head) = self.head() {
            write!(f, " {head}")?;
        }
        match self.label() {
            Some(label) => write!(f, " to {label}"),
            None => Ok(()),
        }
    }
}

/// One entry of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// What it is about.
    pub subject: Subject,
    /// What is to be done.
    pub action: Action,
    /// The label that the head had when it was looked at. Where it has another one by now, nothing is done and that is reported.
    pub was: Option<String>,
    /// Anything worth remembering.
    pub note: Option<String>,
}

/// Corrections of one or more files, in their order: of two entries that say different things of the same, the later one holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corrections {
    files: Vec<CorrectionsFile>,
    entries: Vec<Entry>,
}

/// An entry and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    correction: Correction,
    /// Index of its file.
    file: usize,
    /// Counted from 1.
    line: u64,
}

impl Corrections {
    /// Reads files, in TOML or CSV by the ends of their names, one after the other.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Data`] with file and line of what is wrong.
    pub fn read<P: AsRef<Path>>(paths: &[P]) -> Result<Self> {
        let mut all = Self::default();
        for path in paths.iter().map(AsRef::as_ref) {
            let bytes = crate::io::read::bytes(path, crate::io::read::LISTING)?;
            all.add(&bytes, path)?;
        }
        Ok(all)
    }

    /// Adds a file's content; `path` says whether it is TOML or CSV, and names it.
    ///
    /// # Errors
    /// [`Error::Data`] with the line of what is wrong.
    pub(crate) fn add(&mut self, bytes: &[u8], path: &Path) -> Result<()> {
        if let Some(what) = what_it_is(bytes).filter(|_| !bytes.is_empty()) {
            return Err(Error::Data {
                path: path.into(),
                row: None,
                message: format!("corrections in TOML or CSV are needed, found {what}"),
            });
        }
        let found = files::parse(bytes, path)?;
        let file = self.files.len();
        self.files.push(CorrectionsFile {
            path: path.into(),
            sha256: hexadecimal(Sha256::digest(bytes)),
            entries: found.len(),
        });
        self.entries
            .extend(found.into_iter().map(|(line, correction)| Entry {
                correction,
                file,
                line,
            }));
        Ok(())
    }

    /// The files.
    pub(crate) fn files(&self) -> &[CorrectionsFile] {
        &self.files
    }

    /// Applies them to photos that were read, which then remember the files. Divide the photos into sides before: a split follows
    /// from the labels, and a correction should move nobody to another side.
    ///
    /// What holds for a photo, the first that there is: its own entry that drops it; its own entry for the head; its own entry
    /// that keeps it; its person's entry that drops it (unless there is any entry of its own); its person's for the head; its
    /// person's that keeps. Of two entries of the same subject for the same head, the later one. Whatever is passed over is
    /// reported.
    ///
    /// # Errors
    /// [`Error::Data`] with file and line if a head looks like a misspelling, a label is none of its head's, or a photo's name
    /// stands in two listings.
    pub(crate) fn apply(&self, dataset: &mut Dataset) -> Result<CorrectionsReport> {
        let report = self.change(dataset, &|_| true)?;
        dataset.corrections.extend(self.files.iter().cloned());
        Ok(report)
    }

    fn fault(&self, entry: &Entry, message: String) -> Error {
        Error::Data {
            path: self.files[entry.file].path.clone(),
            row: Some(entry.line),
            message,
        }
    }

    /// Where an entry stands, seen from another one.
    fn place(&self, entry: &Entry, from: &Entry) -> String {
        if entry.file == from.file {
            format!("line {}", entry.line)
        } else {
            format!(
                "{}, line {}",
                shown(&self.files[entry.file].path),
                entry.line
            )
        }
    }
}
