//! The features of a frozen backbone, computed once for all epochs.

use super::config::TrainConfig;
use super::event::Event;
use super::ranks::Group;
use crate::data::dataset::Dataset;
use crate::data::features::{Extractor, Features, Fingerprint, Key, View};
use crate::data::loader::LoaderConfig;
use crate::data::named_photo::NamedPhoto;
use crate::data::seen::Content;
use crate::error::Result;
use crate::model::{Layout, ModelSpec, MultiTaskModel};
use crate::model_file::Tensors;
use candle_core::Tensor;
use std::array::TryFromSliceError;
use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

/// Features of the training split, and which of them belong to which photo.
pub(super) struct Kept {
    features: Features,
    /// For each view one row for each photo.
    views: Vec<Vec<usize>>,
}

impl Kept {
    /// The features of photos, as places in the training split. The views take turns, epoch by epoch.
    ///
    /// # Shapes
    /// Result `(photos, num_features)`.
    pub(super) fn rows(&self, epoch: usize, photos: &[usize]) -> Result<Tensor> {
        let rows = &self.views[epoch % self.views.len()];
        self.features.gather(photos.iter().map(|i| rows[*i]))
    }
}

/// The photos of a run, known by their content, before their features are computed.
pub(super) struct Identified {
    features: Features,
    photos: Vec<NamedPhoto>,
    fingerprints: Vec<Fingerprint>,
    /// How many of them are of the training split; those of the validation split follow.
    train: usize,
}

impl Identified {
    /// Looks at the photos `train` and `valid`; `None` if stopped. The first process of the group reads them and what is kept, and
    /// tells the others.
    ///
    /// # Errors
    /// If a photo or the file of kept features cannot be read.
    pub(super) fn new(
        config: &TrainConfig,
        (spec, tensors): (&ModelSpec, &Tensors),
        dataset: &Dataset,
        [train, valid]: [&[usize]; 2],
        stop: &AtomicBool,
        group: &Group,
    ) -> Result<Option<Self>> {
        let folder = config.feature_cache.as_deref();
        let mut features = Features::open(
            folder.filter(|_| group.is_first()),
            Extractor::new(spec, tensors)?,
            Layout::of(spec)?.width,
        )?;
        let photos = train.iter().chain(valid);
        let photos: Vec<NamedPhoto> = photos.map(|i| (&dataset.samples[*i]).into()).collect();
        let fingerprints = match group.place() {
            (_, 1) => features.identify(&photos, stop)?,
            _ => {
                let bytes = group.share(|| {
                    let found = features.identify(&photos, stop)?;
                    let found = found.unwrap_or_default();
                    Ok(found.iter().flat_map(|f| f.0).collect())
                })?;
                let all = bytes.chunks_exact(size_of::<Content>());
                let all = all.map(|f| Ok(Fingerprint(f.try_into()?)));
                let all: Result<Vec<Fingerprint>, TryFromSliceError> = all.collect();
                // Fewer where the first was stopped.
                all.ok().filter(|all| all.len() == photos.len())
            }
        };
        Ok(fingerprints.map(|fingerprints| Self {
            features,
            photos,
            fingerprints,
            train: train.len(),
        }))
    }

    /// The SHA-256 of every photo of a data set; `None` for one that cannot be read.
    pub(super) fn contents(&mut self, dataset: &Dataset) -> Vec<Option<Content>> {
        let all: Vec<NamedPhoto> = dataset.samples.iter().map(NamedPhoto::from).collect();
        self.features.contents(&all)
    }

    /// Computes what is missing, each process its share; gives the features of the training split, and those of the validation
    /// split. `None` if stopped.
    ///
    /// # Shapes
    /// Validation `(valid, num_features)`.
    ///
    /// # Errors
    /// If a photo cannot be read.
    pub(super) fn complete(
        mut self,
        config: &TrainConfig,
        (model, loading, group): (&MultiTaskModel, LoaderConfig, &Group),
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Option<(Kept, Tensor)>> {
        let features = &mut self.features;
        let plain = features.view(View::Plain);
        let views: Vec<usize> = std::iter::once(plain)
            .chain((1..config.feature_views).map(|number| {
                features.view(View::Augmented {
                    seed: config.seed,
                    number,
                    augment: config.augment,
                })
            }))
            .collect();
        let photos: Vec<_> = self.fingerprints.iter().zip(&self.photos).collect();
        let (train, valid) = photos.split_at(self.train);
        let of_train = views
            .iter()
            .flat_map(|view| train.iter().map(|p| (p, *view)));
        let wanted = of_train.chain(valid.iter().map(|p| (p, plain)));
        let wanted: Vec<(Key, &NamedPhoto)> = wanted
            .map(|((fingerprint, photo), view)| (Key(**fingerprint, view), *photo))
            .collect();
        if let Some(file) = features.path() {
            let known = |(key, _): &&(Key, &NamedPhoto)| features.place(key).is_some();
            let (found, of) = (wanted.iter().filter(known).count(), wanted.len());
            on_event(&Event::Found { found, of, file });
        }
        let mut progress = |done, of| on_event(&Event::Features { done, of });
        let of_run = (model, loading, group);
        if !complete(features, &wanted, of_run, stop, &mut progress)? {
            return Ok(None);
        }
        let mut rows = wanted.iter().filter_map(|(key, _)| features.place(key));
        let views = views
            .iter()
            .map(|_| rows.by_ref().take(self.train).collect())
            .collect();
        let valid: Vec<usize> = rows.collect();
        let valid = features.gather(valid.into_iter())?;
        let kept = Kept {
            features: self.features,
            views,
        };
        Ok(Some((kept, valid)))
    }
}

/// Computes the rows that are missing, each process its share, so that all have all; false if stopped.
fn complete(
    features: &mut Features,
    wanted: &[(Key, &NamedPhoto)],
    (model, loading, group): (&MultiTaskModel, LoaderConfig, &Group),
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<bool> {
    if group.place().1 == 1 {
        return features.complete(wanted, model, loading, stop, progress);
    }
    // What the first knows, all know; of the rest each computes its share, and tells it to all.
    let known = group.share(|| {
        let known = wanted.iter().map(|(key, _)| features.place(key).is_some());
        Ok(known.map(u8::from).collect())
    })?;
    let of = |state: u8| {
        let mut met = HashSet::new();
        let of_state = wanted.iter().zip(&known).filter(|(_, k)| **k == state);
        let all = of_state
            .map(|(w, _)| *w)
            .filter(|(key, _)| met.insert(*key));
        all.collect::<Vec<(Key, &NamedPhoto)>>()
    };
    let (found, missing) = (of(1), of(0));
    let own = &missing[group.own(missing.len())];
    let whole = features.complete(own, model, loading, stop, progress);
    if group.any(whole.map(|whole| !whole))? {
        return Ok(false);
    }
    let rows = group.rows(features.values(own.iter().map(|(key, _)| key)))?;
    features.take(&missing, &rows);
    features.save()?;
    let of_first: &[_] = if group.is_first() { &found } else { &[] };
    let rows = group.rows(features.values(of_first.iter().map(|(key, _)| key)))?;
    features.take(&found, &rows);
    Ok(true)
}
