//! The score of a finished run on the photos it has never seen.

use super::run_logits::held_out;
use crate::data::dataset::{Dataset, Split};
use crate::error::Result;
use crate::eval::evaluate::score;
use crate::eval::predictions::write_predictions;
use crate::eval::score::ScoreReport;
use crate::io::table::write_json;
use crate::train::config::Config;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// Scores the run in `folder` on its test side, as `hydranet evaluate` does. Writes `test_scores.json` and `test_predictions.csv`;
/// `None` if stopped. A frozen backbone's features come from the folder `cache` and go there.
pub(crate) fn score_held_out(
    config: &Config,
    dataset: &Dataset,
    folder: &Path,
    cache: &Path,
    stop: &AtomicBool,
) -> Result<Option<ScoreReport>> {
    let test = dataset.indices(Split::Test);
    let Some(found) = held_out(config, dataset, &test, folder, cache, stop)? else {
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
