//! One photo and what is known about it.

use crate::error::{Error, Result};
use crate::input::PhotoSource;
use crate::names::named;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

/// What a cell says about one head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Value {
    /// The index of a label.
    Label(usize),
    /// One of the labels of a group, not known which: the group's place in the order of the names of
    /// [`LabelSpec::groups`](crate::LabelSpec::groups).
    Group(usize),
    /// A finite number, for a head with thresholds.
    Number(f64),
    /// The indices of all labels that the photo has, ascending, for a head of several labels at once; none: it has none of them.
    Labels(Vec<usize>),
}

/// The side of a split that a photo stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To learn from.
    Train,
    /// To choose the epoch and the settings by.
    Valid,
    /// To measure the final model on.
    Test,
}

named!(Split, "split", {
    Train => "train" | "training",
    Valid => "valid" | "val" | "validation" | "dev",
    Test => "test" | "testing",
});

impl Split {
    /// The side that a word of a listing or the name of a folder stands for, in small or capital letters.
    ///
    /// # Errors
    /// [`Error::UnknownName`] if it stands for none.
    pub(crate) fn of_word(word: &str) -> Result<Self> {
        let small: Result<Self> = word.to_lowercase().parse();
        small.or_else(|_| word.parse())
    }
}

/// One photo and what is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The photo.
    pub photo: PhotoSource,
    /// What it is called, as its listing writes it.
    pub name: String,
    /// The person on it, if known. The same word in two sources is the same person.
    pub person: Option<String>,
    /// The side of the split, if given or assigned.
    pub split: Option<Split>,
    /// One value a head, in the order of the heads; `None`: not known.
    pub values: Vec<Option<Value>>,
    /// Line in the listing, counted from 1 with the header.
    pub row: Option<u64>,
    /// Index of its listing, in the order in which they were given.
    pub source: usize,
}

impl Sample {
    /// A photo of which no more is known than these values, one a head. By its name it is called in messages, in corrections and
    /// in what a run writes.
    pub fn new(
        name: impl Into<String>,
        photo: impl Into<PhotoSource>,
        values: Vec<Option<Value>>,
    ) -> Self {
        Self {
            photo: photo.into(),
            name: name.into(),
            person: None,
            split: None,
            values,
            row: None,
            source: 0,
        }
    }

    /// The path of its file, or as if the file that holds it were a folder; its name, if it is in memory.
    pub(crate) fn whole_path(&self) -> Cow<'_, Path> {
        match &self.photo {
            PhotoSource::File(path) => path.into(),
            PhotoSource::Stored(stored) => stored.path(&self.name).into(),
            _ => Path::new(&self.name).into(),
        }
    }

    /// The path of its file; its name, if it is in memory or in a file with others.
    pub fn path(&self) -> &Path {
        match &self.photo {
            PhotoSource::File(path) => path,
            _ => Path::new(&self.name),
        }
    }
}

/// Who is on a photo: the unit of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PersonKey<'a> {
    /// A known person.
    Person(&'a str),
    /// Nobody known: the photo, by source and name, stands for a person of its own.
    Photo(usize, &'a str),
}

impl fmt::Display for PersonKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(person) => write!(f, "person `{person}`"),
            Self::Photo(_, name) => write!(f, "photo `{name}`"),
        }
    }
}

/// The person on a photo, or the photo itself where the person is not known.
pub fn person_key(sample: &Sample) -> PersonKey<'_> {
    match &sample.person {
        Some(person) => PersonKey::Person(person),
        None => PersonKey::Photo(sample.source, &sample.name),
    }
}

/// A row that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Index of the source in the order given.
    pub source: usize,
    /// The listing.
    pub listing: PathBuf,
    /// Line in the listing, counted from 1 with the header.
    pub row: Option<u64>,
    /// What is wrong, expected and found.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Error::from(self.clone()).fmt(f)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Data {
            path: fault.listing,
            row: fault.row,
            message: fault.message,
        }
    }
}

/// A file of corrections, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrectionsFile {
    /// Where it lies.
    pub path: PathBuf,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Number of its entries.
    pub entries: usize,
}
