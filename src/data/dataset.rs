//! Photos with their labels, whatever layout they were read from.

use super::sample::CorrectionsFile;
pub use super::sample::{Fault, PersonKey, Sample, Split, Value, person_key};
use super::seen::Contents;
use crate::error::Error;
use crate::head::HeadSpec;
use crate::model_file::Seen;
use crate::tensors::hash::hexadecimal;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::PathBuf;

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
    /// Whom the weights have seen that a training starts from, see `follow`.
    pub seen: Vec<Seen>,
    /// The contents of photos that were read before.
    pub(crate) contents: Contents,
}

impl Dataset {
    /// The samples on one side, without the skipped ones, as indices in order.
    pub fn indices(&self, split: Split) -> Vec<usize> {
        (0..self.samples.len())
            .filter(|i| self.samples[*i].split == Some(split) && !self.skipped.contains(i))
            .collect()
    }

    /// That a photo cannot be used.
    pub(crate) fn fault(&self, sample: &Sample, message: impl Into<String>) -> Fault {
        Fault {
            source: sample.source,
            listing: self.sources[sample.source].clone(),
            row: sample.row,
            message: message.into(),
        }
    }

    /// Where a photo is listed, in words.
    pub(crate) fn place(&self, sample: &Sample) -> String {
        let line = sample.row.map(|r| format!("line {r} of "));
        let listing = self.sources[sample.source].display();
        format!("{}{listing}", line.unwrap_or_default())
    }

    /// A SHA-256, in hexadecimal, over the sorted names, values and splits: the same wherever the data lies and in whatever order
    /// it is listed. The pixels are not part of it.
    pub(crate) fn fingerprint(&self) -> String {
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
