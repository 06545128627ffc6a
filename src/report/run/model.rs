//! A model on labelled photos.

use super::data::Source;
use super::folder::of_heads;
use super::metrics::Epochs;
use crate::data::dataset::Dataset;
use crate::error::{Error, Result};
use crate::eval::predictions::predictions_csv;
use crate::eval::read_predictions::parse_predictions;
use crate::eval::score::ScoreReport;
use crate::predict::{Ensemble, Prediction};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

impl<'a> Source<'a> {
    /// What a model, or several together, say of the photos at these indices. Predictions take the way by the table that a run
    /// has of them, so that both pages are one.
    ///
    /// # Errors
    /// If scores have no form in JSON.
    pub(crate) fn of_model(
        path: &Path,
        ensemble: &Ensemble,
        (dataset, indices): (&'a Dataset, &[usize]),
        (predictions, scores): (&[Prediction], &ScoreReport),
    ) -> Result<Self> {
        let taxonomy = ensemble.taxonomy().clone();
        let table = predictions_csv(&taxonomy, dataset, indices, predictions)?;
        let scores = serde_json::to_value(scores).map_err(|e| Error::Config {
            origin: "the scores".into(),
            message: "cannot be written as JSON".into(),
            source: Some(e.into()),
        })?;
        let heads = dataset.heads.clone();
        let mut facts = of_heads(&heads);
        let models = ensemble.members().iter().map(|m| m.description());
        let words = models.map(|d| {
            let decision = d.decision.rule.name();
            format!(
                "{}, {}; decided by {decision}",
                d.model.backbone,
                d.model.input.words()
            )
        });
        facts.splice(0..0, words.map(|w| ("model".to_string(), w)));
        Ok(Self {
            name: path.display().to_string(),
            facts,
            notes: Vec::new(),
            settings: String::new(),
            heads,
            epochs: Epochs::default(),
            side: String::new(),
            rows: parse_predictions(table.as_bytes(), path, &taxonomy)?,
            scores: Some(scores),
            persons: HashMap::new(),
            dataset: Some(dataset),
            heat: BTreeMap::new(),
            taxonomy,
        })
    }
}
