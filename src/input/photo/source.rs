//! Where a photo comes from: a file, or memory.

#[cfg(feature = "image")]
use super::file::{HeldPhoto, PhotoFile};
use super::pixels::Photo;
#[cfg(feature = "image")]
use super::stored::StoredPhoto;
#[cfg(feature = "image")]
use crate::error::Result;
#[cfg(feature = "image")]
use crate::input::spec::InputSpec;
use std::fmt;
#[cfg(feature = "image")]
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a photo comes from. Copies share what is in memory.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PhotoSource {
    /// A file, of a kind that [`Photo::decode`] reads.
    #[cfg(feature = "image")]
    File(PathBuf),
    /// The bytes of such a file, in memory: the same photo as the file.
    #[cfg(feature = "image")]
    Encoded(Arc<[u8]>),
    /// Such a file inside of one that holds many, a table in Parquet for one.
    #[cfg(feature = "image")]
    Stored(StoredPhoto),
    /// Pixels in memory. What it has seen a model knows them by as the SHA-256 of the word `pixels`, of height and
    /// width as `u64`, least byte first, and of [`Photo::rgb`].
    Decoded(Arc<Photo>),
}

#[cfg(feature = "image")]
impl From<PathBuf> for PhotoSource {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

#[cfg(feature = "image")]
impl From<&Path> for PhotoSource {
    fn from(path: &Path) -> Self {
        Self::File(path.into())
    }
}

#[cfg(feature = "image")]
impl From<Vec<u8>> for PhotoSource {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Encoded(bytes.into())
    }
}

impl From<Photo> for PhotoSource {
    fn from(photo: Photo) -> Self {
        Self::Decoded(Arc::new(photo))
    }
}

#[cfg(feature = "image")]
impl PhotoSource {
    /// Its file's bytes; `None` for pixels. `name` is for messages.
    ///
    /// # Errors
    /// As [`Photo::open`].
    #[cfg(feature = "audit")]
    pub(crate) fn file<'a>(&'a self, name: &'a Path) -> Option<Result<PhotoFile<'a>>> {
        match self {
            Self::File(path) => Some(PhotoFile::read(path)),
            Self::Encoded(bytes) => Some(PhotoFile::given(name, bytes)),
            Self::Stored(stored) => Some(PhotoFile::stored(name, stored)),
            Self::Decoded(_) => None,
        }
    }

    /// The photo, decoded with 1, 3 or 4 `channels` where it is not yet, for `inputs` one after the other, and counted in the
    /// budget of memory; `name` is for messages.
    ///
    /// # Errors
    /// As [`Photo::open`], [`Photo::decode`] or [`HeldPhoto::given`].
    pub(crate) fn hold(
        &self,
        name: &Path,
        channels: usize,
        inputs: &[InputSpec],
    ) -> Result<HeldPhoto> {
        match self {
            Self::File(path) => PhotoFile::read(path)?.photo(channels, inputs),
            Self::Encoded(bytes) => PhotoFile::given(name, bytes)?.photo(channels, inputs),
            Self::Stored(stored) => PhotoFile::stored(name, stored)?.photo(channels, inputs),
            Self::Decoded(photo) => HeldPhoto::given(name, photo, inputs),
        }
    }
}

impl fmt::Debug for PhotoSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "image")]
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            #[cfg(feature = "image")]
            Self::Encoded(bytes) => write!(f, "Encoded({} bytes)", bytes.len()),
            #[cfg(feature = "image")]
            Self::Stored(stored) => f.debug_tuple("Stored").field(stored).finish(),
            Self::Decoded(photo) => write!(f, "Decoded({}×{})", photo.height, photo.width),
        }
    }
}
