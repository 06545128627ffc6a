//! Computing the rows that are missing.

use super::{Features, Fingerprint, Key, View};
use crate::data::loader::{EVAL_BATCH, Job, Loader, LoaderConfig, stack};
use crate::data::named_photo::NamedPhoto;
use crate::data::seen::Content;
use crate::error::{Error, Result};
use crate::layers::Mode;
use crate::model::MultiTaskModel;
use crate::random::rng::{Purpose, keyed};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the rows so far are saved, so that a program that ends unasked loses little.
const SAVED_EVERY: Duration = Duration::from_secs(300);

impl Features {
    /// The fingerprint of each photo's content, in order; `None` if stopped.
    ///
    /// # Errors
    /// If a photo cannot be read.
    pub(crate) fn identify(
        &mut self,
        photos: &[NamedPhoto],
        stop: &AtomicBool,
    ) -> Result<Option<Vec<Fingerprint>>> {
        self.photos.identify(photos, stop)
    }

    /// The SHA-256 of each photo's file, in order; `None` for one that cannot be read. What has not changed is not read again.
    pub(crate) fn contents(&mut self, photos: &[NamedPhoto]) -> Vec<Option<Content>> {
        self.photos.contents(photos)
    }

    /// Computes the rows among `wanted` that are missing and saves them; false if stopped, with those so far saved. `progress` is
    /// told the rows computed and how many are to be; nothing if none are.
    ///
    /// # Errors
    /// If a photo cannot be read, [`Error::Image`] among them if it is not what it was when it was identified. What was computed
    /// until then is saved.
    pub(crate) fn complete(
        &mut self,
        wanted: &[(Key, &NamedPhoto)],
        model: &MultiTaskModel,
        loading: LoaderConfig,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<bool> {
        let mut met = HashSet::new();
        let missing: Vec<(Key, &NamedPhoto)> = wanted
            .iter()
            .filter(|(key, _)| self.place(key).is_none() && met.insert(*key))
            .copied()
            .collect();
        let done = self.compute(&missing, model, loading, stop, progress);
        self.save()?;
        done
    }

    fn compute(
        &mut self,
        missing: &[(Key, &NamedPhoto)],
        model: &MultiTaskModel,
        loading: LoaderConfig,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<bool> {
        let mut loader = self.loader(missing, loading)?;
        let mut saved = Instant::now();
        let mut computed = 0;
        for keys in missing.chunks(self.extractor.input.at_once(EVAL_BATCH)) {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let photos = loader
                .by_ref()
                .take(keys.len())
                .collect::<Result<Vec<_>>>()?;
            let rows = model
                .features(&stack(&photos, &self.extractor.input)?, Mode::Eval)?
                .to_vec2::<f32>()?;
            for ((key, _), row) in keys.iter().zip(&rows) {
                self.push(*key, row);
            }
            computed += keys.len();
            progress(computed, missing.len());
            if saved.elapsed() > SAVED_EVERY {
                self.save()?;
                saved = Instant::now();
            }
        }
        Ok(true)
    }

    /// Loads the photos of these rows, each in its view.
    fn loader(&self, missing: &[(Key, &NamedPhoto)], loading: LoaderConfig) -> Result<Loader> {
        let jobs = missing
            .iter()
            .enumerate()
            .map(|(index, (_, photo))| Job {
                index,
                again: 0,
                photo: (*photo).clone(),
            })
            .collect();
        let keys: Vec<Key> = missing.iter().map(|(key, _)| *key).collect();
        let (views, input) = (self.views.clone(), self.extractor.input.clone());
        let rgb = move |job: &Job| {
            let Key(fingerprint, view) = keys[job.index];
            let (photo, content) = job
                .photo
                .read(input.channels, std::slice::from_ref(&input))?;
            if Fingerprint(content) != fingerprint {
                return Err(Error::Image {
                    path: job.photo.path().into(),
                    reason: "it was changed while features were computed; start again".into(),
                    source: None,
                });
            }
            match &views[view] {
                View::Plain => input.prepare(&photo),
                View::Augmented {
                    seed,
                    number,
                    augment,
                } => {
                    let (view, photo_number) = (*number as u64, fingerprint.number());
                    let mut rng = keyed(*seed, Purpose::View, view, photo_number);
                    augment.augment(&photo, &input, &mut rng)
                }
            }
        };
        Loader::with(jobs, &self.extractor.input, rgb, loading)
    }
}
