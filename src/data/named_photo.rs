//! A photo and what it is called.

use super::sample::Sample;
use super::seen::Content;
use crate::error::Result;
use crate::input::{HeldPhoto, InputSpec, Photo, PhotoFile, PhotoSource};
use sha2::{Digest, Sha256};
use std::path::Path;

/// A photo and what it is called in messages, to be read on another thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPhoto {
    source: PhotoSource,
    /// Empty for a file, which is called by its path.
    name: String,
}

impl From<&Sample> for NamedPhoto {
    fn from(sample: &Sample) -> Self {
        Self {
            name: match sample.photo {
                PhotoSource::File(_) => String::new(),
                PhotoSource::Stored(_) => sample.whole_path().display().to_string(),
                _ => sample.name.clone(),
            },
            source: sample.photo.clone(),
        }
    }
}

/// A file.
impl From<&Path> for NamedPhoto {
    fn from(path: &Path) -> Self {
        Self {
            source: PhotoSource::File(path.into()),
            name: String::new(),
        }
    }
}

/// A photo whose name is not known.
impl From<&PhotoSource> for NamedPhoto {
    fn from(source: &PhotoSource) -> Self {
        Self {
            name: match source {
                PhotoSource::Stored(stored) => stored.place().display().to_string(),
                _ => String::new(),
            },
            source: source.clone(),
        }
    }
}

impl NamedPhoto {
    /// Its path, or its name.
    pub(crate) fn path(&self) -> &Path {
        match &self.source {
            PhotoSource::File(path) => path,
            _ => Path::new(&self.name),
        }
    }

    /// The photo, decoded as for `input`, counted in the budget of memory.
    ///
    /// # Errors
    /// As [`Photo::open`], [`Photo::decode`] or [`HeldPhoto::given`].
    pub(crate) fn hold(&self, input: &InputSpec) -> Result<HeldPhoto> {
        self.source
            .hold(self.path(), input.channels, std::slice::from_ref(input))
    }

    /// The same and its content, for `inputs` one after the other; from a file, or its bytes, with 1, 3 or 4 `channels`.
    ///
    /// # Errors
    /// As [`hold`](Self::hold).
    pub(crate) fn read(
        &self,
        channels: usize,
        inputs: &[InputSpec],
    ) -> Result<(HeldPhoto, Content)> {
        let hold = || self.source.hold(self.path(), channels, inputs);
        match &self.source {
            PhotoSource::Encoded(bytes) => Ok((hold()?, Sha256::digest(bytes).into())),
            PhotoSource::Decoded(photo) => Ok((hold()?, of_pixels(photo))),
            PhotoSource::File(path) => hashed(PhotoFile::read(path)?, channels, inputs),
            PhotoSource::Stored(stored) => {
                hashed(PhotoFile::stored(self.path(), stored)?, channels, inputs)
            }
        }
    }

    /// The content of a photo in memory, or in a file with others, which is read; `None` for a file of its own.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn content(&self) -> Result<Option<Content>> {
        Ok(match &self.source {
            PhotoSource::File(_) => None,
            PhotoSource::Stored(stored) => Some(Sha256::digest(stored.read()?).into()),
            PhotoSource::Encoded(bytes) => Some(Sha256::digest(bytes).into()),
            PhotoSource::Decoded(photo) => Some(of_pixels(photo)),
        })
    }
}

fn hashed(file: PhotoFile, channels: usize, inputs: &[InputSpec]) -> Result<(HeldPhoto, Content)> {
    let content = Sha256::digest(file.bytes()).into();
    Ok((file.photo(channels, inputs)?, content))
}

fn of_pixels(photo: &Photo) -> Content {
    let mut hash = Sha256::new();
    hash.update("pixels");
    for side in [photo.height, photo.width] {
        hash.update((side as u64).to_le_bytes());
    }
    hash.update(&photo.rgb);
    hash.finalize().into()
}
