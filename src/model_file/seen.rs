//! Who a model has seen: recorded where it is trained, so that nobody it learnt from is ever called a test.

use serde::{Deserialize, Serialize};

/// What one training used, as salted hashes: a photo by the content of its file, a person by the word in the listing. Nobody can
/// be read out of it; whoever has the photo or the word can ask. The hash is in the chapter `file_format` of the guide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    /// Goes into every hash; follows from the data, so equal trainings write equal bytes.
    pub(crate) salt: String,
    /// Photos, by the SHA-256 of their files.
    pub(crate) photos: SeenSides,
    /// Persons, by the word that names them.
    pub(crate) persons: SeenSides,
    /// Whether more was seen than is recorded: the training began from a model that does not say whom it had seen, or the record
    /// would not have fitted into a file's header.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) incomplete: bool,
}

/// One set for each side of the split.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SeenSides {
    /// Those the model learnt from.
    #[serde(skip_serializing_if = "SeenSet::is_empty")]
    pub(crate) train: SeenSet,
    /// Those that the epoch and the settings were chosen by.
    #[serde(skip_serializing_if = "SeenSet::is_empty")]
    pub(crate) valid: SeenSet,
    /// Those that were held out.
    #[serde(skip_serializing_if = "SeenSet::is_empty")]
    pub(crate) test: SeenSet,
}

/// A set of hashes in about 22 bits each. Asked for one that is not in it, it says yes once in 2²⁰ times; for one that is in it
/// always.
///
/// A Golomb-coded set (Golomb 1966, "Run-length encodings"; Putze, Sanders and Singler 2007, "Cache-, Hash- and Space-Efficient
/// Bloom Filters"): `n` hashes are scaled to the range from 0 to below `n` · 2²⁰ and sorted; of each the difference to the one
/// before is written, its part above 20 bits as that many ones and a zero, then its lower 20 bits, highest bit first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeenSet {
    /// Its number of members.
    pub(crate) count: u64,
    /// The code, in base64 without padding.
    pub(crate) code: String,
}

impl SeenSet {
    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Seen {
    /// Bytes of its sets.
    #[cfg(feature = "train")]
    pub(crate) fn length(&self) -> usize {
        let sides = [&self.photos, &self.persons].into_iter();
        let sets = sides.flat_map(|s| [&s.train, &s.valid, &s.test]);
        sets.map(|set| set.code.len()).sum()
    }

    /// The records of two models that became one, each once.
    pub(crate) fn join(records: &mut Vec<Self>, others: &[Self]) {
        for other in others {
            if !records.contains(other) {
                records.push(other.clone());
            }
        }
    }
}
