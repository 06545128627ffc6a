//! Who a model was trained, validated and tested on: recorded by the training, asked by whatever scores.
//!
//! The split of a training can not be computed again from another listing: a label put right, a row more or a head less, and other persons
//! stand on the test side. So a model's file holds hashes of those it has seen ([`Seen`]), and [`settle`] puts the photos of any
//! listing on the sides where they stood.

mod content;
mod golomb;
mod record;
mod settle;
mod split_file;

pub(super) use record::Record;
pub use settle::{Sides, follow, settle};
pub use split_file::apply_split_file;

use crate::checkpoint::{Seen, SeenSides};
use crate::error::Result;
use crate::train::dataset::{Dataset, Split};
use content::Content;
use golomb::Members;
use sha2::{Digest, Sha256};

/// What a hash is of.
#[derive(Clone, Copy)]
enum Of {
    Photo = 0,
    Person = 1,
}

/// The salted hash of a photo's content or a person's name.
fn hash(salt: &str, of: Of, bytes: &[u8]) -> u64 {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update([of as u8]);
    hash.update(bytes);
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The sets of one record, ready to be asked.
struct Sets {
    salt: String,
    photos: [Members; 3],
    persons: [Members; 3],
}

/// Everyone that some records name.
pub(super) struct Known(Vec<Sets>);

impl Known {
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) if a record is damaged.
    pub(super) fn new(records: &[Seen]) -> Result<Self> {
        let sets = |sides: &SeenSides| -> Result<[Members; 3]> {
            Ok([
                Members::decode(&sides.train)?,
                Members::decode(&sides.valid)?,
                Members::decode(&sides.test)?,
            ])
        };
        let records = records.iter().map(|record| {
            Ok(Sets {
                salt: record.salt.clone(),
                photos: sets(&record.photos)?,
                persons: sets(&record.persons)?,
            })
        });
        Ok(Self(records.collect::<Result<_>>()?))
    }

    /// The side on which a photo or its person stood; of several the one that was used most: who was learnt from once is no test.
    fn side(&self, content: Option<&Content>, person: Option<&str>) -> Option<Split> {
        let sides = self.0.iter().flat_map(|sets| {
            let photo = content.map(|c| (&sets.photos, hash(&sets.salt, Of::Photo, c)));
            let person =
                person.map(|p| (&sets.persons, hash(&sets.salt, Of::Person, p.as_bytes())));
            photo
                .into_iter()
                .chain(person)
                .filter_map(|(members, hash)| {
                    let place = members.iter().position(|m| m.contains(hash))?;
                    Some(Split::ALL[place])
                })
        });
        sides.min()
    }

    /// That of each photo of a listing, whole persons together.
    fn sides(&self, dataset: &Dataset, contents: &[Option<Content>]) -> Vec<Option<Split>> {
        let samples = dataset.samples.iter().zip(contents);
        let own: Vec<Option<Split>> = samples
            .map(|(s, content)| self.side(content.as_ref(), s.person.as_deref()))
            .collect();
        settle::together(dataset, &own)
    }
}
