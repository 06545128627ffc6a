//! The model files of a run: of the last epoch, and of the best.

use super::folder::RunFolder;
use super::record::EpochRecord;
use crate::data::dataset::Dataset;
use crate::error::Result;
use crate::io::write_atomically;
use crate::model::ModelSpec;
use crate::model::combine::Decision;
use crate::model_file::{Description, ModelFile, Seen, Tensors};
use crate::train::config::{Config, TrainConfig};
use crate::weights::source::BEST;
use serde_json::json;

/// Writes models with all that is said about them.
pub(in crate::train) struct Models {
    pub folder: RunFolder,
    description: Description,
}

impl Models {
    /// Of a run on `photos` photos of a data set with the fingerprint `data`; `unseen` are labels that none of them has,
    /// `own_losses` the heads whose losses are not the configuration's.
    ///
    /// # Errors
    /// If the specification is not valid.
    pub(in crate::train) fn new(
        folder: RunFolder,
        config: &Config,
        (spec, decision): (&ModelSpec, &Decision),
        dataset: &Dataset,
        (data, photos): (&str, usize),
        unseen: serde_json::Value,
        own_losses: &[String],
    ) -> Result<Self> {
        // Where features are kept changes nothing in the model, nor does what is measured.
        let settings = TrainConfig {
            feature_cache: None,
            report_gradients: 0,
            tensorboard: false,
            ..config.train.clone()
        };
        let mut training = json!({
            "config": settings,
            "weights": config.model.weights,
            "data": data,
            "photos": photos,
        });
        if !config.model.columns.is_empty() {
            training["columns"] = json!(config.model.columns);
        }
        if !dataset.skipped.is_empty() {
            training["skipped"] = json!(dataset.skipped.len());
        }
        if unseen.as_array().is_some_and(|all| !all.is_empty()) {
            training["without_photos"] = unseen;
        }
        if !own_losses.is_empty() {
            training["own_losses"] = json!(own_losses);
        }
        if !dataset.corrections.is_empty() {
            training["corrections"] = json!(dataset.corrections);
        }
        let mut description = Description::new(spec.clone(), training)?;
        description.decision = decision.clone();
        Ok(Self {
            folder,
            description,
        })
    }

    /// Records whom the models will have seen.
    pub(in crate::train) fn record(&mut self, seen: Vec<Seen>) {
        self.description.seen = seen;
    }

    /// Writes the model of an epoch as the last one, and if it is chosen as the model.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub(in crate::train) fn write(
        &self,
        record: &EpochRecord,
        tensors: Tensors,
        chosen: bool,
    ) -> Result<()> {
        if !self.folder.is_own() {
            return Ok(());
        }
        let mut description = self.description.clone();
        description.training["valid"] = json!(record);
        let file = ModelFile {
            description,
            tensors,
        };
        let bytes = file.to_bytes()?;
        write_atomically(&self.folder.path("last.safetensors"), &bytes)?;
        if chosen {
            write_atomically(&self.folder.path(BEST), &bytes)?;
        }
        Ok(())
    }
}
