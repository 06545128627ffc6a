//! Photos inside of a file that holds many.

use crate::error::Result;
use crate::location::{shown, without_query};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that holds photos.
pub(crate) trait Archive: Send + Sync {
    /// The file.
    fn path(&self) -> &Path;

    /// What the photo at this place is called where nobody knows its name.
    fn name(&self, place: u64) -> String;

    /// Whether there is one at this place, if that is known before it is read.
    fn has(&self, _: u64) -> bool {
        true
    }

    /// The bytes of the photo at this place.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read(&self, place: u64) -> Result<Vec<u8>>;
}

/// A photo inside of a file that holds many, read when it is needed.
#[derive(Clone)]
pub struct StoredPhoto {
    // Behind one pointer: of photos there may be millions.
    archive: Arc<Box<dyn Archive>>,
    place: u64,
}

impl StoredPhoto {
    #[cfg(feature = "train")]
    pub(crate) fn new(archive: &Arc<Box<dyn Archive>>, place: u64) -> Self {
        Self {
            archive: Arc::clone(archive),
            place,
        }
    }

    /// The bytes of its file.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn read(&self) -> Result<Vec<u8>> {
        self.archive.read(self.place)
    }

    /// As [`path`](Self::path), without its name.
    pub(crate) fn place(&self) -> PathBuf {
        self.path(&self.archive.name(self.place))
    }

    /// The path of a photo that its file calls so, as if the file were a folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        without_query(self.archive.path()).join(name)
    }
}

impl PartialEq for StoredPhoto {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place && self.archive.path() == other.archive.path()
    }
}

impl Eq for StoredPhoto {}

impl fmt::Debug for StoredPhoto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.archive.path().display().to_string();
        write!(f, "{} in {}", self.place, shown(&path))
    }
}
