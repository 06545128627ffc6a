//! What a finished run's model says of photos, and its score on those it has never seen.

use crate::data::dataset::{Dataset, Split};
use crate::data::loader::LoaderConfig;
use crate::data::named_photo::NamedPhoto;
use crate::error::Result;
use crate::eval::evaluate::{logits, score};
use crate::eval::predictions::write_predictions;
use crate::eval::score::ScoreReport;
use crate::io::table::write_json;
use crate::model::Logits;
use crate::model_file::{Description, ModelFile, Tensors};
use crate::train::config::Config;
use crate::train::finished::{features_of, open};
use crate::weights::source::BEST;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Logits of some photos, and the model they are of.
pub(crate) struct HeldOut {
    pub(crate) description: Description,
    /// One a photo.
    pub(crate) logits: Vec<Logits>,
}

impl HeldOut {
    /// Of the photos at `indices` by the run in `folder`: the run's model, or, where there is no validation side to
    /// tell by, of the last. `None` if stopped. A frozen backbone's features come from the folder `cache` and go there.
    pub(crate) fn new(
        config: &Config,
        dataset: &Dataset,
        indices: &[usize],
        folder: &Path,
        cache: &Path,
        stop: &AtomicBool,
    ) -> Result<Option<Self>> {
        let name = if dataset.indices(Split::Valid).is_empty() {
            "last.safetensors"
        } else {
            BEST
        };
        let file = ModelFile::read(folder.join(name))?;
        let model = file.build()?;
        let loading = LoaderConfig::new(config.train.queue_mib);
        let cache = cache_of(config, cache);
        let cache = config.train.stays_frozen().then_some(cache);
        let of = (&file, &model);
        let all = features_of(of, (dataset, indices), cache, loading, stop, &mut |_| ())?;
        let Some(all) = all else {
            return Ok(None);
        };
        Ok(Some(Self {
            logits: logits(&model, &all)?,
            description: file.description,
        }))
    }
}

/// Scores the run in `folder` on its test side, as `hydranet evaluate` does. Writes `test_scores.json` and
/// `test_predictions.csv`; `None` if stopped. A frozen backbone's features come from the folder `cache` and go there.
pub(crate) fn score_held_out(
    config: &Config,
    dataset: &Dataset,
    folder: &Path,
    cache: &Path,
    stop: &AtomicBool,
) -> Result<Option<ScoreReport>> {
    let test = dataset.indices(Split::Test);
    let Some(found) = HeldOut::new(config, dataset, &test, folder, cache, stop)? else {
        return Ok(None);
    };
    let taxonomy = found.description.model.taxonomy()?;
    let decision = &found.description.decision;
    let (predictions, report) = score(&taxonomy, decision, dataset, &test, &found.logits)?;
    let path = folder.join("test_predictions.csv");
    write_predictions(&path, &taxonomy, dataset, &test, &predictions)?;
    write_json(&folder.join("test_scores.json"), &report)?;
    Ok(Some(report))
}

/// The features of all photos by a frozen backbone of these tensors, as a run before has kept them in the folder `cache`; `None`
/// if some are not there.
///
/// # Shapes
/// Row by row, `(photos, num_features)`.
#[cfg(feature = "audit")]
pub(crate) fn kept_features(
    config: &Config,
    tensors: &Tensors,
    dataset: &Dataset,
    cache: &Path,
    stop: &AtomicBool,
) -> Result<Option<Vec<f32>>> {
    if !config.train.stays_frozen() {
        return Ok(None);
    }
    let photos: Vec<NamedPhoto> = dataset.samples.iter().map(NamedPhoto::from).collect();
    let of = (&config.model_spec()?, tensors);
    let Some((kept, keys)) = open(of, &photos, cache_of(config, cache), stop)? else {
        return Ok(None);
    };
    let rows: Vec<usize> = keys.iter().filter_map(|key| kept.place(key)).collect();
    if rows.len() < photos.len() {
        return Ok(None);
    }
    // Without what heads read behind the features.
    let width = of.0.backbone.num_features();
    let mut all = Vec::with_capacity(rows.len() * width);
    for rows in rows.chunks(1024) {
        let part = kept.gather(rows.iter().copied())?.narrow(1, 0, width)?;
        all.extend(part.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(Some(all))
}

/// The folder in which features are kept: that of the configuration, or else `cache`.
fn cache_of<'a>(config: &'a Config, cache: &'a Path) -> &'a Path {
    config.train.feature_cache.as_deref().unwrap_or(cache)
}
