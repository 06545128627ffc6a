//! The features of photos by a model that is trained: those that are kept of its frozen backbone, or computed.

use super::config::Config;
use crate::data::dataset::Dataset;
use crate::data::features::{Extractor, Features, Key, View};
use crate::data::loader::{LoaderConfig, QUEUE_MIB};
use crate::data::named_photo::NamedPhoto;
use crate::error::{Error, Result};
use crate::eval::evaluate::features;
use crate::model::{Layout, ModelSpec, MultiTaskModel};
use crate::model_file::{ModelFile, Tensors};
use candle_core::Tensor;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// The folder in which the run that a model's file lies in kept the features of its frozen backbone, if it did and that folder is
/// still there.
pub(crate) fn cache_beside(model: &Path) -> Option<PathBuf> {
    let train = Config::read(&model.with_file_name("config.toml"))
        .ok()?
        .train;
    let frozen = train.stays_frozen();
    train
        .feature_cache
        .filter(|folder| frozen && folder.is_dir())
}

/// As [`features_of`], of a command that nobody stops; where features can be neither read nor kept, they are computed.
///
/// # Shapes
/// Result `(indices, num_features)`.
///
/// # Errors
/// As [`features_of`].
pub(crate) fn features_of_file(
    (file, model): (&ModelFile, &MultiTaskModel),
    (dataset, indices): (&Dataset, &[usize]),
    cache: Option<&Path>,
    progress: &mut dyn FnMut(usize),
) -> Result<Tensor> {
    let (loading, stop) = (LoaderConfig::new(QUEUE_MIB), AtomicBool::new(false));
    let (of_model, data) = ((file, model), (dataset, indices));
    let found = match features_of(of_model, data, cache, loading, &stop, progress) {
        // What cannot be kept, in a folder that may not be written to or a file that is damaged, is computed.
        Err(Error::Io { .. } | Error::Checkpoint { .. }) if cache.is_some() => None,
        found => found?,
    };
    let input = &file.description.model.input;
    // Nobody stops it.
    found.map_or_else(
        || features(model, input, dataset, indices, loading, progress),
        Ok,
    )
}

/// The features of the photos at `indices`, as for prediction; those in the folder `cache` are taken from there, and the
/// others go there. `progress` is told the photos computed. `None` if stopped.
///
/// # Shapes
/// Result `(indices, num_features)`.
///
/// # Errors
/// [`Error::Image`](crate::Error::Image) naming a photo that cannot be read, [`Error::Checkpoint`](crate::Error::Checkpoint) if
/// the file of kept features cannot be used; as [`features`].
pub(crate) fn features_of(
    (file, model): (&ModelFile, &MultiTaskModel),
    (dataset, indices): (&Dataset, &[usize]),
    cache: Option<&Path>,
    loading: LoaderConfig,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize),
) -> Result<Option<Tensor>> {
    let spec = &file.description.model;
    let Some(cache) = cache.filter(|_| !indices.is_empty()) else {
        return features(model, &spec.input, dataset, indices, loading, progress).map(Some);
    };
    let photos = indices.iter().map(|i| (&dataset.samples[*i]).into());
    let photos: Vec<NamedPhoto> = photos.collect();
    let Some((mut kept, keys)) = open((spec, &file.tensors), &photos, cache, stop)? else {
        return Ok(None);
    };
    let wanted: Vec<(Key, &NamedPhoto)> = keys.into_iter().zip(&photos).collect();
    if !kept.complete(&wanted, model, loading, stop, &mut |done, _| progress(done))? {
        return Ok(None);
    }
    let rows = wanted.iter().filter_map(|(key, _)| kept.place(key));
    kept.gather(rows.collect::<Vec<_>>().into_iter()).map(Some)
}

/// The features of a frozen backbone that are kept, and the keys of these photos as for prediction; `None` if stopped.
///
/// # Errors
/// If a photo or the file of kept features cannot be read.
pub(crate) fn open(
    (spec, tensors): (&ModelSpec, &Tensors),
    photos: &[NamedPhoto],
    cache: &Path,
    stop: &AtomicBool,
) -> Result<Option<(Features, Vec<Key>)>> {
    let extractor = Extractor::new(spec, tensors)?;
    let mut kept = Features::open(Some(cache), extractor, Layout::of(spec)?.width)?;
    let Some(fingerprints) = kept.identify(photos, stop)? else {
        return Ok(None);
    };
    let plain = kept.view(View::Plain);
    let keys = fingerprints.into_iter().map(|f| Key(f, plain));
    Ok(Some((kept, keys.collect())))
}
