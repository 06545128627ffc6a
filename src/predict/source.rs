//! Where a photo comes from.

use crate::error::Error;
use crate::input::Photo;
use std::path::{Path, PathBuf};

/// A photo that is to be predicted, with the name that errors call it by.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PhotoSource {
    /// A JPEG or PNG file.
    #[cfg(feature = "image")]
    File(PathBuf),
    /// A JPEG or PNG in memory.
    #[cfg(feature = "image")]
    Encoded {
        /// What errors call it.
        name: PathBuf,
        /// The whole file's content.
        bytes: Vec<u8>,
    },
    /// Pixels.
    Decoded {
        /// What errors call it.
        name: PathBuf,
        /// The pixels.
        photo: Photo,
    },
}

impl PhotoSource {
    /// Pixels and their name.
    pub fn pixels(name: impl Into<PathBuf>, photo: Photo) -> Self {
        Self::Decoded {
            name: name.into(),
            photo,
        }
    }

    /// What errors call it.
    pub fn name(&self) -> &Path {
        match self {
            #[cfg(feature = "image")]
            Self::File(path) => path,
            #[cfg(feature = "image")]
            Self::Encoded { name, .. } => name,
            Self::Decoded { name, .. } => name,
        }
    }

    /// An error with the photo's name.
    pub(super) fn named(&self, error: Error) -> Error {
        match error {
            Error::Image { .. } | Error::Io { .. } => error,
            other => Error::Image {
                path: self.name().into(),
                reason: "it cannot be predicted".into(),
                source: Some(other.into()),
            },
        }
    }
}

#[cfg(feature = "image")]
impl From<&Path> for PhotoSource {
    fn from(path: &Path) -> Self {
        Self::File(path.into())
    }
}

#[cfg(feature = "image")]
impl From<PathBuf> for PhotoSource {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}
