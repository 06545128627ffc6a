//! The score of a finished run on the photos it has never seen.

use super::record::write_json;
use crate::checkpoint::ModelFile;
use crate::error::Result;
use crate::train::config::Config;
use crate::train::dataset::{Dataset, Split};
use crate::train::evaluate::{Queue, features, logits, score};
use crate::train::features::{Extractor, Features, Key, View};
use crate::train::run::write_predictions;
use crate::train::score::ScoreReport;
use candle_core::Tensor;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Scores the run in `folder` on its test side, as `hydranet evaluate` does: the model of the best epoch, or, where there is no
/// validation side to tell by, of the last. Writes `test_scores.json` and `test_predictions.csv`; `None` if stopped. A frozen
/// backbone's features come from the folder `cache` and go there.
pub(super) fn score_held_out(
    config: &Config,
    dataset: &Dataset,
    folder: &Path,
    cache: &Path,
    stop: &AtomicBool,
) -> Result<Option<ScoreReport>> {
    let name = match dataset.indices(Split::Valid).is_empty() {
        true => "last.safetensors",
        false => "best.safetensors",
    };
    let file = ModelFile::read(folder.join(name))?;
    let (model, spec) = (file.build()?, &file.description.model);
    let test = dataset.indices(Split::Test);
    let queue = Queue::new(config.train.queue_mib);
    let all = if config.train.stays_frozen() {
        let cache = config.train.feature_cache.as_deref().unwrap_or(cache);
        let extractor = Extractor::new(spec, &file.tensors)?;
        let mut kept = Features::open(Some(cache), extractor, spec.backbone.num_features())?;
        let paths: Vec<&Path> = test
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
        features(&model, &spec.input, dataset, &test, queue, &mut |_| ())?
    };
    let taxonomy = spec.taxonomy()?;
    let decision = &file.description.decision;
    let logits = logits(&model, &all)?;
    let (predictions, report) = score(&taxonomy, decision, dataset, &test, &logits)?;
    let path = folder.join("test_predictions.csv");
    write_predictions(&path, &taxonomy, dataset, &test, &predictions)?;
    write_json(&folder.join("test_scores.json"), &report)?;
    Ok(Some(report))
}

fn gathered(kept: &Features, wanted: &[(Key, &Path)]) -> Result<Tensor> {
    let rows: Vec<usize> = wanted
        .iter()
        .filter_map(|(key, _)| kept.place(key))
        .collect();
    kept.gather(rows.into_iter())
}
