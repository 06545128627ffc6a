//! A photo's file and the photo in it, within the budget of memory.

use super::budget::Room;
use super::decode::Header;
#[cfg(feature = "audit")]
use super::jpeg;
use super::limits::{MAX_BYTES, refused};
use super::pixels::Photo;
use super::stored::StoredPhoto;
use crate::error::{Error, Result};
use crate::input::spec::InputSpec;
use crate::io::read;
use crate::io::remote::Fetch;
use crate::location::is_remote;
use std::borrow::Cow;
use std::io::Read;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

/// A photo's file in memory, counted in the budget, or bytes that its user holds, which are not.
pub(crate) struct PhotoFile<'a> {
    path: &'a Path,
    /// Where it is read from, if it is no file of its own.
    stored: Option<&'a StoredPhoto>,
    bytes: Cow<'a, [u8]>,
    room: Room,
}

/// A photo in memory, counted in the budget with one copy of it, as resizing and augmenting may make.
pub(crate) struct HeldPhoto {
    photo: Arc<Photo>,
    /// Height and width of the whole photo.
    sides: [usize; 2],
    _room: Room,
}

impl<'a> PhotoFile<'a> {
    /// Waits for room for the file, here or in a store, and reads it.
    ///
    /// # Errors
    /// [`Error::Io`] if it is no file or cannot be read, [`Error::Image`] if it is larger than [`MAX_BYTES`].
    pub(crate) fn read(path: &'a Path) -> Result<Self> {
        let within = |size: u64| {
            if size <= MAX_BYTES {
                return Ok(Room::take(size));
            }
            let found = format!("{size} bytes; at most {MAX_BYTES} are allowed");
            Err(refused(path, found))
        };
        if is_remote(path) {
            let fetch = Fetch::begin(path)?;
            let room = within(fetch.size())?;
            return Ok(Self {
                path,
                stored: None,
                bytes: Cow::Owned(fetch.read()?),
                room,
            });
        }
        let (file, size) = read::open(path)?;
        let room = within(size)?;
        let mut bytes = Vec::with_capacity(size as usize);
        file.take(size)
            .read_to_end(&mut bytes)
            .map_err(|e| Error::io("read", path, e))?;
        Ok(Self {
            path,
            stored: None,
            bytes: Cow::Owned(bytes),
            room,
        })
    }

    /// A file inside of another; `path` is for messages.
    ///
    /// # Errors
    /// If it cannot be read, [`Error::Image`] if it is larger than [`MAX_BYTES`].
    pub(crate) fn stored(path: &'a Path, stored: &'a StoredPhoto) -> Result<Self> {
        let bytes = stored.read()?;
        let size = bytes.len() as u64;
        if size > MAX_BYTES {
            let found = format!("{size} bytes; at most {MAX_BYTES} are allowed");
            return Err(refused(path, found));
        }
        Ok(Self {
            path,
            stored: Some(stored),
            room: Room::take(size),
            bytes: Cow::Owned(bytes),
        })
    }

    /// A file's bytes; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Image`] if it is larger than [`MAX_BYTES`].
    pub(crate) fn given(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        if bytes.len() as u64 > MAX_BYTES {
            let found = format!("{} bytes; at most {MAX_BYTES} are allowed", bytes.len());
            return Err(refused(path, found));
        }
        Ok(Self {
            path,
            stored: None,
            bytes: Cow::Borrowed(bytes),
            room: Room::take(0),
        })
    }

    #[cfg(feature = "train")]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is a JPEG, by its first bytes.
    #[cfg(feature = "audit")]
    pub(crate) fn is_jpeg(&self) -> bool {
        self.bytes.starts_with(jpeg::SIGNATURE)
    }

    /// Height and width of the photo in it, upright, by its header alone.
    ///
    /// # Errors
    /// As [`Photo::decode`], of what the header says.
    pub(crate) fn sides(&self) -> Result<[usize; 2]> {
        let header =
            Header::read(&self.bytes, 3, &[]).map_err(|reason| refused(self.path, reason))?;
        Ok(header.upright())
    }

    /// Decodes it, with 1, 3 or 4 `channels`, to be prepared for `inputs` one after the other while it is held: what all of them
    /// [reduce](InputSpec::reduce) only as large as they need it.
    ///
    /// # Errors
    /// As [`Photo::decode`].
    pub(crate) fn photo(mut self, channels: usize, inputs: &[InputSpec]) -> Result<HeldPhoto> {
        let (path, size) = (self.path, self.bytes.len());
        let counted = match self.bytes {
            Cow::Borrowed(_) => 0,
            Cow::Owned(_) => size as u64,
        };
        let fail = |reason: String| refused(path, reason);
        let held = |sides: [usize; 2]| held(sides, channels, inputs);
        let needed =
            |header: &Header| (counted + header.memory(channels)).max(held(header.sides()));
        let need = needed(&Header::read(&self.bytes, channels, inputs).map_err(fail)?);
        if !self.room.resize(need) {
            // Whoever waits must hold nothing: the file is let go of, and read again once there is room for all.
            let Self {
                bytes,
                room,
                stored,
                ..
            } = self;
            let given = match bytes {
                Cow::Borrowed(given) => Some(given),
                Cow::Owned(_) => None,
            };
            drop(room);
            let room = Room::take(need);
            let bytes = match given {
                Some(given) => Cow::Borrowed(given),
                None => match stored {
                    Some(stored) => Cow::Owned(stored.read()?),
                    None => Self::read(path)?.bytes,
                },
            };
            self = Self {
                path,
                stored,
                bytes,
                room,
            };
        }
        let header = Header::read(&self.bytes, channels, inputs).map_err(fail)?;
        if self.bytes.len() != size || needed(&header) > need {
            return Err(fail("the file was changed while it was read".into()));
        }
        let photo = header.decode(channels).map_err(fail)?;
        let sides = header.upright();
        drop(self.bytes);
        self.room.resize(held([photo.height, photo.width]));
        Ok(HeldPhoto {
            photo: Arc::new(photo),
            sides,
            _room: self.room,
        })
    }
}

/// The bytes that a photo of these sides takes while it is prepared: what premultiplies alpha, turns or measures one copies it.
fn held([height, width]: [usize; 2], channels: usize, inputs: &[InputSpec]) -> u64 {
    let either = |i: &InputSpec| i.working(height, width).max(i.working(width, height));
    let working = inputs.iter().map(either).max().unwrap_or(0);
    2 * (height * width * channels) as u64 + working
}

impl InputSpec {
    /// Reads a photo's file with the [`channels`](Self::channels) asked for, alpha kept if they are 4, and as small as
    /// [`reduce`](Self::reduce) allows.
    ///
    /// # Errors
    /// As [`Photo::open`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Photo> {
        Ok(self.hold(path.as_ref())?.release())
    }

    /// As [`open`](Self::open); the photo stays counted in the budget of memory as long as it is held.
    pub(crate) fn hold(&self, path: &Path) -> Result<HeldPhoto> {
        PhotoFile::read(path)?.photo(self.channels, std::slice::from_ref(self))
    }

    /// Decodes a photo's file in memory as [`open`](Self::open); `name` is for messages.
    ///
    /// # Errors
    /// As [`Photo::decode`].
    pub fn decode(&self, bytes: &[u8], name: &Path) -> Result<Photo> {
        let inputs = std::slice::from_ref(self);
        let photo = PhotoFile::given(name, bytes)?.photo(self.channels, inputs)?;
        Ok(photo.release())
    }
}

impl HeldPhoto {
    /// Pixels in memory; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Image`] if they are not valid, see [`Photo::validate`].
    pub(crate) fn given(path: &Path, photo: &Arc<Photo>, inputs: &[InputSpec]) -> Result<Self> {
        photo.validate().map_err(|e| Error::Image {
            path: path.into(),
            reason: "its pixels cannot be used".into(),
            source: Some(e.into()),
        })?;
        let (sides, channels) = ([photo.height, photo.width], photo.channels());
        Ok(Self {
            _room: Room::take(held(sides, channels, inputs)),
            sides,
            photo: Arc::clone(photo),
        })
    }

    /// Height and width of the whole photo, upright, which this may be a part of, or smaller.
    #[cfg(feature = "train")]
    pub(crate) fn sides(&self) -> [usize; 2] {
        self.sides
    }

    /// The bytes that are counted for it.
    #[cfg(all(test, feature = "cli"))]
    pub(crate) fn counted(&self) -> u64 {
        self._room.bytes
    }

    /// The photo alone, no longer counted.
    pub(crate) fn release(self) -> Photo {
        Arc::unwrap_or_clone(self.photo)
    }

    /// The photo with alpha left out, or grey; see [`Photo::with_channels`].
    pub(crate) fn reduce(&mut self, channels: usize) {
        Arc::make_mut(&mut self.photo).reduce(channels);
    }
}

impl Deref for HeldPhoto {
    type Target = Photo;

    fn deref(&self) -> &Photo {
        &self.photo
    }
}

impl Photo {
    /// Reads a photo's file; see [`decode`](Self::decode).
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, else as [`decode`](Self::decode).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(PhotoFile::read(path.as_ref())?.photo(3, &[])?.release())
    }
}
