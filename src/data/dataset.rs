//! Photos with their labels, whatever layout they were read from.

use super::corrections::{Corrections, CorrectionsFile, CorrectionsReport};
use super::split;
use super::targets::labels;
use super::{manifest, person_folder};
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::io::files::Files;
use crate::model_file::Seen;
use crate::taxonomy::Taxonomy;
use crate::tensors::hash::hexadecimal;
use crate::train::config::TrainConfig;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What a cell says about one head.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// The index of a label.
    Label(usize),
    /// A finite number, for a head with thresholds.
    Number(f64),
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

impl Split {
    /// All sides, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// The word in a `split` column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let known = || Self::ALL.iter().map(|s| s.name().to_string()).collect();
        Self::ALL
            .into_iter()
            .find(|s| s.name() == word)
            .ok_or_else(|| Error::UnknownName {
                what: "split",
                found: word.into(),
                known: known(),
            })
    }
}

/// One photo and what is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Where the photo lies.
    pub path: PathBuf,
    /// The photo as its listing writes it.
    pub name: String,
    /// The person on it, if known. The same word in two sources is the same person.
    pub person: Option<String>,
    /// The side of the split, if given or assigned.
    pub split: Option<Split>,
    /// One value a head, in the order of the heads; `None`: not known.
    pub values: Vec<Option<Value>>,
    /// Line in the listing, counted from 1 with the header.
    pub row: Option<u64>,
    /// Index into [`Dataset::sources`].
    pub source: usize,
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

/// All photos of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The listings, in the order given.
    pub sources: Vec<PathBuf>,
    /// The heads that the values belong to.
    pub heads: Vec<HeadSpec>,
    /// The photos, source by source, in the order of the listings.
    pub samples: Vec<Sample>,
    /// The corrections that were applied to them, in order.
    pub corrections: Vec<CorrectionsFile>,
    /// Indices of photos that cannot be read and are passed over, see [`find_broken`](Self::find_broken).
    pub skipped: BTreeSet<usize>,
    /// Whom the weights have seen that a training starts from, see [`follow`](super::seen::follow).
    pub seen: Vec<Seen>,
}

impl Dataset {
    /// Reads CSV listings and person folders, one after the other, and joins them. No photo is opened.
    ///
    /// # Errors
    /// The first fault of [`read`](Self::read) as [`Error::Data`] with file and line, and its errors.
    pub fn open(paths: &[PathBuf], heads: &[HeadSpec]) -> Result<Self> {
        let (dataset, faults) = Self::read(paths, heads)?;
        if let Some(first) = faults.into_iter().next() {
            return Err(first.into());
        }
        if dataset.samples.is_empty() {
            return Err(Error::Data {
                path: dataset.sources[0].clone(),
                row: None,
                message: "at least one photo is needed, found none".into(),
            });
        }
        Ok(dataset)
    }

    /// As [`open`](Self::open), with every photo on its side and what `train.corrections` names applied, in this order: a correction
    /// moves nobody to another side.
    ///
    /// # Errors
    /// As [`open`](Self::open), [`split::assign`], [`Corrections::read`] and [`Corrections::apply`].
    pub fn prepare(
        paths: &[PathBuf],
        heads: &[HeadSpec],
        config: &TrainConfig,
    ) -> Result<(Self, CorrectionsReport)> {
        let mut dataset = Self::open(paths, heads)?;
        let report = dataset.put_on_sides(config)?;
        Ok((dataset, report))
    }

    /// Puts every photo that has no side on one, and applies what `train.corrections` names.
    ///
    /// # Errors
    /// As [`split::assign`], [`Corrections::read`] and [`Corrections::apply`].
    pub fn put_on_sides(&mut self, config: &TrainConfig) -> Result<CorrectionsReport> {
        split::assign(self, &config.split, config.seed)?;
        Corrections::read(&config.corrections)?.apply(self)
    }

    /// As [`open`](Self::open), but rows that cannot be used are left out and listed, ordered by source and line.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no path or a head is not valid, [`Error::Io`] or [`Error::Data`] if a listing as a whole
    /// cannot be used.
    pub fn read(paths: &[PathBuf], heads: &[HeadSpec]) -> Result<(Self, Vec<Fault>)> {
        if paths.is_empty() {
            return Err(Error::Invalid {
                what: "data".into(),
                expected: "at least one CSV file or person folder".into(),
                found: "none".into(),
            });
        }
        heads.iter().try_for_each(HeadSpec::validate)?;
        let mut dataset = Self {
            sources: Vec::new(),
            heads: heads.to_vec(),
            samples: Vec::new(),
            corrections: Vec::new(),
            skipped: BTreeSet::new(),
            seen: Vec::new(),
        };
        let mut faults = Vec::new();
        for (source, path) in paths.iter().enumerate() {
            let (listing, samples, new) = if path.is_dir() {
                let listing = person_folder::find_listing(path)?;
                let (samples, new) = person_folder::read_people(&listing, source, heads)?;
                (listing, samples, new)
            } else {
                let (samples, new) = manifest::read_manifest(path, source, heads)?;
                (path.clone(), samples, new)
            };
            dataset.sources.push(listing);
            dataset.samples.extend(samples);
            faults.extend(new);
        }
        faults.extend(dataset.leave_out_repeated());
        faults.sort_by_key(|f| (f.source, f.row));
        Ok((dataset, faults))
    }

    /// Leaves out photos that were listed before: a photo listed twice could stand on two sides of a split.
    fn leave_out_repeated(&mut self) -> Vec<Fault> {
        let mut first = HashMap::new();
        let mut faults = Vec::new();
        let sources = &self.sources;
        let mut files = Files::default();
        self.samples.retain(|sample| {
            let (source, row) = match first.entry(files.file(&sample.path)) {
                Entry::Vacant(place) => {
                    place.insert((sample.source, sample.row));
                    return true;
                }
                Entry::Occupied(place) => *place.get(),
            };
            let line = row.map(|r| format!("line {r}")).unwrap_or_default();
            let place = if source == sample.source {
                line
            } else {
                format!("{} of {}", line, sources[source].display())
            };
            faults.push(Fault {
                source: sample.source,
                listing: sources[sample.source].clone(),
                row: sample.row,
                message: format!(
                    "each photo is listed once, found `{}` on {place} too",
                    sample.name
                ),
            });
            false
        });
        faults
    }

    /// Rows whose known labels are a combination that is declared impossible.
    pub fn contradictions(&self, taxonomy: &Taxonomy) -> Vec<Fault> {
        let fault = |sample: &Sample| {
            let known = labels(&self.heads, sample);
            (!taxonomy.is_possible(&known)).then(|| Fault {
                source: sample.source,
                listing: self.sources[sample.source].clone(),
                row: sample.row,
                message: format!(
                    "a combination of labels that is possible is needed, found {}, which model.impossible rules out",
                    taxonomy.name_of(&known)
                ),
            })
        };
        self.samples.iter().filter_map(fault).collect()
    }

    /// Refuses combinations of labels that are declared impossible.
    ///
    /// # Errors
    /// [`Error::Data`] with file and line of the first.
    pub fn check_possible(&self, taxonomy: &Taxonomy) -> Result<()> {
        match self.contradictions(taxonomy).into_iter().next() {
            Some(first) => Err(first.into()),
            None => Ok(()),
        }
    }

    /// The samples on one side, without the skipped ones, as indices in order.
    pub fn indices(&self, split: Split) -> Vec<usize> {
        (0..self.samples.len())
            .filter(|i| self.samples[*i].split == Some(split) && !self.skipped.contains(i))
            .collect()
    }

    /// A SHA-256, in hexadecimal, over the sorted names, values and splits: the same wherever the data lies and in whatever order
    /// it is listed. The pixels are not part of it.
    pub fn fingerprint(&self) -> String {
        let mut lines: Vec<String> = self
            .samples
            .iter()
            .map(|s| {
                // Debug forms are quoted and escaped, so two samples never give the same line by accident.
                let split = s.split.map(Split::name);
                format!("{:?} {:?} {split:?}\n", s.name, s.values)
            })
            .collect();
        lines.sort();
        let mut hash = Sha256::new();
        for head in &self.heads {
            hash.update(format!("{:?} {:?}\n", head.name, head.labels.names));
        }
        lines.iter().for_each(|line| hash.update(line));
        hexadecimal(hash.finalize())
    }
}

/// The error that a part of the data has nothing to work on.
pub(crate) fn empty_split(dataset: &Dataset, split: Split, reason: &str) -> Error {
    let origin = dataset
        .sources
        .iter()
        .map(|s| s.display().to_string())
        .collect::<Vec<_>>()
        .join(", ");
    Error::EmptySplit {
        split: split.name().into(),
        origin,
        reason: reason.into(),
    }
}
