//! A photo by the content of its file: the same wherever it lies and whatever it is called.

use crate::data::dataset::{Dataset, Sample};
use crate::data::named_photo::NamedPhoto;
use crate::input::{PhotoFile, PhotoSource};
use crate::location::is_remote;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The SHA-256 of a file, or of what is in memory in its place, see [`PhotoSource`](crate::PhotoSource).
pub(crate) type Content = [u8; 32];

/// Contents of photos by their paths, so that a photo that was read need not be read again only for that. They say nothing of
/// what the data are: with any, data sets are equal.
#[derive(Clone, Debug, Default)]
pub struct Contents(Arc<HashMap<PathBuf, Content>>);

impl Contents {
    /// Notes contents, which copies of the data set need not have.
    pub(crate) fn extend(&mut self, found: impl IntoIterator<Item = (PathBuf, Content)>) {
        Arc::make_mut(&mut self.0).extend(found);
    }
}

impl PartialEq for Contents {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// That of each photo in order, on all of rayon's threads, of those that are not known from before; `None` for what cannot be
/// read, which whoever needs the photo will say. `progress` gets photos done and photos in all. `None` for all if stopped.
pub(crate) fn contents(
    dataset: &Dataset,
    stop: &AtomicBool,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Option<Vec<Option<Content>>> {
    let done = AtomicUsize::new(0);
    let all = dataset.samples.len();
    let samples = dataset.samples.par_iter();
    samples
        .map(|sample| {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let known = match &sample.photo {
                PhotoSource::Encoded(_) | PhotoSource::Decoded(_) => None,
                _ => dataset.contents.0.get(&*sample.whole_path()).copied(),
            };
            let content = known.or_else(|| content(sample));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, all);
            Some(content)
        })
        .collect()
}

pub(crate) fn content(sample: &Sample) -> Option<Content> {
    if let Some(content) = NamedPhoto::from(sample).content().ok()? {
        return Some(content);
    }
    let path = sample.path();
    if is_remote(path) {
        let file = PhotoFile::read(path).ok()?;
        return Some(Sha256::digest(file.bytes()).into());
    }
    let (file, _) = crate::io::read::open_within(path, crate::input::MAX_BYTES).ok()?;
    // A file that says it is empty may go on without end.
    let mut file = file.take(crate::input::MAX_BYTES);
    crate::tensors::hash::copy(&mut file, &mut io::sink()).ok()
}
