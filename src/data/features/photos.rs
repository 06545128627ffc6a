//! Photos known by their content, so that a renamed or corrected photo is told apart without reading every photo each time.

use super::Fingerprint;
use crate::data::named_photo::NamedPhoto;
use crate::data::seen::Content;
use crate::error::Result;
use crate::input::PhotoFile;
use crate::location::is_remote;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Photos read between two looks at whether to stop.
const STRETCH: usize = 1024;

/// A photo's time of change is of use once it lies so far back that a later change must show in it, whatever the file system's
/// clock.
const SETTLED: Duration = Duration::from_secs(2);

/// A photo as it was when it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadPhoto {
    sha256: Fingerprint,
    /// Size of the file.
    bytes: u64,
    /// Time of its last change in nanoseconds since 1970; none if it had been changed only just.
    modified: Option<u64>,
}

/// The photos read so far, by their absolute path.
#[derive(Default)]
pub(crate) struct Photos {
    seen: BTreeMap<String, ReadPhoto>,
    changed: bool,
}

impl Photos {
    pub(crate) fn new(seen: BTreeMap<String, ReadPhoto>) -> Self {
        Self {
            seen,
            changed: false,
        }
    }

    pub(crate) fn seen(&self) -> &BTreeMap<String, ReadPhoto> {
        &self.seen
    }

    /// Whether something is known that was not when the last [`unchanged`](Self::unchanged) was said.
    pub(crate) fn changed(&self) -> bool {
        self.changed
    }

    pub(crate) fn unchanged(&mut self) {
        self.changed = false;
    }

    /// The fingerprint of each photo's content, in order; `None` if stopped.
    ///
    /// A photo is read only if its size or time of change is not that of the last time, and one in a store each time. One that is
    /// no longer there is taken to be what it was.
    ///
    /// # Errors
    /// As [`PhotoFile::read`], of the first photo that cannot be read.
    pub(crate) fn identify(
        &mut self,
        photos: &[NamedPhoto],
        stop: &AtomicBool,
    ) -> Result<Option<Vec<Fingerprint>>> {
        let mut found = Vec::with_capacity(photos.len());
        for stretch in photos.chunks(STRETCH) {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let looked: Vec<_> = stretch.par_iter().map(|photo| self.look(photo)).collect();
            for looked in looked {
                let (sha256, remembered) = looked?;
                found.push(sha256);
                if let Some((key, now)) = remembered {
                    self.remember(key, now);
                }
            }
        }
        Ok(Some(found))
    }

    /// The same, with `None` for what cannot be read.
    pub(crate) fn contents(&mut self, photos: &[NamedPhoto]) -> Vec<Option<Content>> {
        let looked: Vec<_> = photos
            .par_iter()
            .map(|photo| self.look(photo).ok())
            .collect();
        let known = looked.into_iter().map(|looked| {
            let (sha256, remembered) = looked?;
            if let Some((key, now)) = remembered {
                self.remember(key, now);
            }
            Some(sha256.0)
        });
        known.collect()
    }

    /// Takes over what is known of photos elsewhere.
    #[cfg(feature = "audit")]
    pub(crate) fn extend(&mut self, other: &Self) {
        let all = other.seen.iter();
        all.for_each(|(key, now)| self.remember(key.clone(), now.clone()));
    }

    fn remember(&mut self, key: String, now: ReadPhoto) {
        if self.seen.get(&key) != Some(&now) {
            self.seen.insert(key, now);
            self.changed = true;
        }
    }

    /// A photo's fingerprint, and what to remember of its file.
    fn look(&self, photo: &NamedPhoto) -> Result<(Fingerprint, Option<(String, ReadPhoto)>)> {
        if let Some(content) = photo.content()? {
            return Ok((Fingerprint(content), None));
        }
        // A store is not asked whether it has changed: the answer would be no surer than the content, and a request too.
        if is_remote(photo.path()) {
            let file = PhotoFile::read(photo.path())?;
            return Ok((Fingerprint::of(file.bytes()), None));
        }
        let (key, read) = self.look_at_file(photo.path())?;
        Ok((read.sha256, key.map(|key| (key, read))))
    }

    fn look_at_file(&self, path: &Path) -> Result<(Option<String>, ReadPhoto)> {
        // A path that is not text cannot stand in the file; such a photo is read each time.
        let key = std::path::absolute(path)
            .ok()
            .and_then(|p| p.to_str().map(String::from));
        let known = key.as_ref().and_then(|k| self.seen.get(k));
        let about = match (std::fs::metadata(path), known) {
            (Ok(about), _) => about,
            (Err(e), Some(known)) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok((key, known.clone()));
            }
            (Err(e), _) => return Err(crate::io::read::missing(path, e)),
        };
        let changed = about.modified().ok();
        let modified = changed
            .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
            .and_then(|d| u64::try_from(d.as_nanos()).ok());
        if let Some(known) = known
            && modified.is_some()
            && (known.modified, known.bytes) == (modified, about.len())
        {
            return Ok((key, known.clone()));
        }
        let settled = changed
            .and_then(|t| SystemTime::now().duration_since(t).ok())
            .is_some_and(|age| age > SETTLED);
        let file = PhotoFile::read(path)?;
        let seen = ReadPhoto {
            sha256: Fingerprint::of(file.bytes()),
            bytes: file.bytes().len() as u64,
            modified: modified.filter(|_| settled),
        };
        Ok((key, seen))
    }
}
