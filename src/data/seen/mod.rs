//! Who a model was trained, validated and tested on: recorded by the training, asked by whatever scores.
//!
//! The split of a training can not be computed again from another listing: a label put right, a row more or a head less, and
//! other persons stand on the test side. So a model's file holds hashes of those it has seen ([`Seen`]), and [`settle`] puts the
//! photos of any listing on the sides where they stood.

mod content;
mod golomb;
mod record;
mod settle;
mod split_file;

pub use content::Contents;
pub(crate) use content::{Content, contents};
pub(crate) use record::{Record, copies};
pub use record::{check_held_out, record_valid};
pub use settle::{Sides, follow, settle};
pub use split_file::apply_split_file;

use super::dataset::{Dataset, Split};
use crate::error::Result;
use crate::model_file::{Seen, SeenSides};
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
pub(crate) struct Known(Vec<Sets>);

impl Known {
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) if a record is damaged.
    pub(crate) fn new(records: &[Seen]) -> Result<Self> {
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

    /// The side on which a photo stood; of several the one that was used most: who was learnt from once is no test.
    fn photo(&self, content: &Content) -> Option<Split> {
        self.stood(|sets| (&sets.photos, hash(&sets.salt, Of::Photo, content)))
            .min()
    }

    /// The same of a person.
    fn person(&self, name: &str) -> Option<Split> {
        self.stood(|sets| (&sets.persons, hash(&sets.salt, Of::Person, name.as_bytes())))
            .min()
    }

    /// Every side on which something stood.
    fn stood<'a>(
        &'a self,
        of: impl Fn(&'a Sets) -> (&'a [Members; 3], u64) + 'a,
    ) -> impl Iterator<Item = Split> + 'a {
        self.0.iter().flat_map(move |sets| {
            let (members, hash) = of(sets);
            let sides = members.iter().zip(Split::ALL);
            sides.filter_map(move |(m, side)| m.contains(hash).then_some(side))
        })
    }

    /// Whether a photo stood on this side, among others.
    pub(crate) fn photo_was_on(&self, content: &Content, side: Split) -> bool {
        self.stood(|sets| (&sets.photos, hash(&sets.salt, Of::Photo, content)))
            .any(|s| s == side)
    }

    /// The side of each photo of a listing by its content, or that of its person, whole persons together; second, whether the
    /// person's name alone says so.
    fn sides(&self, dataset: &Dataset, contents: &[Option<Content>]) -> Vec<Option<(Split, bool)>> {
        let photos: Vec<Option<Split>> = contents.iter().map(|c| self.photo(c.as_ref()?)).collect();
        let by_photos = settle::together(dataset, &photos);
        let both = dataset.samples.iter().zip(&photos).map(|(sample, photo)| {
            let person = sample.person.as_deref().and_then(|p| self.person(p));
            settle::least(*photo, person)
        });
        let both = settle::together(dataset, &both.collect::<Vec<_>>());
        both.into_iter()
            .zip(by_photos)
            .map(|(side, by_photo)| Some((side?, by_photo.is_none())))
            .collect()
    }

    /// The same for a training that starts from these models. Where hardly a photo is known, the persons are taken for others:
    /// the same words, numbers above all, name other people in other data.
    fn sides_for_training(
        &self,
        dataset: &Dataset,
        contents: &[Option<Content>],
    ) -> Vec<Option<Split>> {
        let photos: Vec<Option<Split>> = contents.iter().map(|c| self.photo(c.as_ref()?)).collect();
        let known = photos.iter().flatten().count();
        if known * 100 < photos.len() {
            return settle::together(dataset, &photos);
        }
        let sides = self.sides(dataset, contents).into_iter();
        sides.map(|side| side.map(|(side, _)| side)).collect()
    }
}
