//! What a finished run's model says of photos.

use crate::data::dataset::{Dataset, Split};
use crate::error::Result;
use crate::eval::evaluate::{Queue, features, logits};
use crate::model::Logits;
use crate::model_file::{Description, ModelFile};
use crate::train::config::Config;
use crate::train::features::{Extractor, Features, Key, View};
use candle_core::Tensor;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Logits of some photos, and the model they are of.
pub(crate) struct HeldOut {
    pub(crate) description: Description,
    /// One a photo.
    pub(crate) logits: Vec<Logits>,
}

/// The logits of the photos at `indices` by the run in `folder`: the model of the best epoch, or, where there is no validation side to
/// tell by, of the last. `None` if stopped. A frozen backbone's features come from the folder `cache` and go there.
pub(crate) fn held_out(
    config: &Config,
    dataset: &Dataset,
    indices: &[usize],
    folder: &Path,
    cache: &Path,
    stop: &AtomicBool,
) -> Result<Option<HeldOut>> {
    let name = if dataset.indices(Split::Valid).is_empty() {
        "last.safetensors"
    } else {
        "best.safetensors"
    };
    let file = ModelFile::read(folder.join(name))?;
    let (model, spec) = (file.build()?, &file.description.model);
    let queue = Queue::new(config.train.queue_mib);
    let all = if config.train.stays_frozen() {
        let cache = config.train.feature_cache.as_deref().unwrap_or(cache);
        let extractor = Extractor::new(spec, &file.tensors)?;
        let mut kept = Features::open(Some(cache), extractor, spec.backbone.num_features())?;
        let paths: Vec<&Path> = indices
            .iter()
            .map(|i| dataset.samples[*i].path.as_path())
            .collect();
        let Some(photos) = kept.identify(&paths, stop)? else {
            return Ok(None);
        };
        let plain = kept.view(View::Plain);
        let wanted: Vec<(Key, &Path)> = photos
            .into_iter()
            .map(|photo| Key(photo, plain))
            .zip(paths)
            .collect();
        if !kept.complete(&wanted, &model, queue, stop, &mut |_, _| ())? {
            return Ok(None);
        }
        gathered(&kept, &wanted)?
    } else {
        features(&model, &spec.input, dataset, indices, queue, &mut |_| ())?
    };
    let logits = logits(&model, &all)?;
    Ok(Some(HeldOut {
        description: file.description,
        logits,
    }))
}

/// The features of all photos by a frozen backbone of these tensors, as a run before has kept them in the folder `cache`; `None` if some
/// are not there.
///
/// # Shapes
/// Row by row, `(photos, num_features)`.
#[cfg(feature = "audit")]
pub(crate) fn kept_features(
    config: &Config,
    tensors: &crate::model_file::Tensors,
    dataset: &Dataset,
    cache: &Path,
    stop: &AtomicBool,
) -> Result<Option<Vec<f32>>> {
    if !config.train.stays_frozen() {
        return Ok(None);
    }
    let spec = config.model_spec()?;
    let cache = config.train.feature_cache.as_deref().unwrap_or(cache);
    let extractor = Extractor::new(&spec, tensors)?;
    let mut kept = Features::open(Some(cache), extractor, spec.backbone.num_features())?;
    let paths: Vec<&Path> = dataset.samples.iter().map(|s| s.path.as_path()).collect();
    let Some(photos) = kept.identify(&paths, stop)? else {
        return Ok(None);
    };
    let plain = kept.view(View::Plain);
    let rows: Vec<usize> = photos
        .into_iter()
        .filter_map(|photo| kept.place(&Key(photo, plain)))
        .collect();
    if rows.len() < paths.len() {
        return Ok(None);
    }
    let all = kept.gather(rows.into_iter())?;
    Ok(Some(all.flatten_all()?.to_vec1()?))
}

fn gathered(kept: &Features, wanted: &[(Key, &Path)]) -> Result<Tensor> {
    let rows: Vec<usize> = wanted
        .iter()
        .filter_map(|(key, _)| kept.place(key))
        .collect();
    kept.gather(rows.into_iter())
}
