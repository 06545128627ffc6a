//! The figures of an epoch, on the validation split.

use super::config::TrainConfig;
use super::loss::objective::Objective;
use super::loss::tasks::Tasks;
use super::ranks::Group;
use super::run_folder::{EpochRecord, RunFolder};
use crate::data::dataset::{Dataset, Split, empty_split, person_key};
use crate::data::loader::LoaderConfig;
use crate::data::targets::classes;
use crate::error::Result;
use crate::eval::decide;
use crate::eval::evaluate::{counts, features, logits, score};
use crate::eval::predictions::write_predictions;
use crate::eval::score::{NamedScore, ScoreReport};
use crate::io::table::write_json;
use crate::layers::Mode;
use crate::model::combine::Decision;
use crate::model::{ModelSpec, MultiTaskModel};
use crate::model_file::{Description, ModelFile, Tensors};
use crate::weights::source::BEST;
use candle_core::{Device, Tensor};
use std::collections::BTreeSet;
use std::rc::Rc;

/// The validation split, and how the final class is decided on it.
pub(super) struct Validation<'a> {
    dataset: &'a Dataset,
    spec: ModelSpec,
    tasks: Rc<Tasks>,
    /// The photos.
    pub(super) photos: Vec<usize>,
    /// How many persons are on those that have a label.
    pub(super) persons: usize,
    /// Their features by a frozen backbone, once they are computed: `(photos, num_features)`.
    pub(super) features: Option<Tensor>,
    loading: LoaderConfig,
    group: &'a Group,
    /// Not tuned yet.
    pub(super) decision: Decision,
}

impl<'a> Validation<'a> {
    /// Of a run that learns from the photos `train`.
    ///
    /// # Errors
    /// [`Error::EmptySplit`](crate::Error::EmptySplit) if a decision is to be tuned on no photo.
    pub(super) fn new(
        config: &TrainConfig,
        spec: &ModelSpec,
        tasks: Rc<Tasks>,
        dataset: &'a Dataset,
        train: &[usize],
        group: &'a Group,
    ) -> Result<Self> {
        let photos = dataset.indices(Split::Valid);
        let rule = config.decision;
        if rule.is_tuned() && photos.is_empty() {
            let reason = format!("train.decision={} is tuned on it", rule.name());
            return Err(empty_split(dataset, Split::Valid, &reason));
        }
        let decision = decide::untuned(
            rule,
            &tasks.taxonomy,
            spec.joint.as_ref().map(|j| j.share),
            &classes(&tasks.taxonomy, dataset, train),
        )?;
        let known = photos.iter().map(|i| &dataset.samples[*i]);
        let known = known.filter(|s| s.values.iter().any(Option::is_some));
        let persons = known.map(person_key);
        let persons = persons.collect::<BTreeSet<_>>().len();
        Ok(Self {
            dataset,
            persons,
            spec: spec.clone(),
            tasks,
            photos,
            features: None,
            loading: LoaderConfig::new(config.queue_mib),
            group,
            decision,
        })
    }

    /// The features of all photos, computed by one process.
    ///
    /// # Shapes
    /// Result `(photos, num_features)`.
    fn features(&self, model: &MultiTaskModel) -> Result<Tensor> {
        match &self.features {
            Some(kept) => Ok(kept.clone()),
            None => self.computed(model, &self.photos),
        }
    }

    /// As [`features`](Self::features), each process computing its share.
    ///
    /// # Shapes
    /// Result `(photos, num_features)`.
    fn features_of_all(&self, model: &MultiTaskModel) -> Result<Tensor> {
        if self.features.is_some() || self.group.place().1 == 1 {
            return self.features(model);
        }
        let own = &self.photos[self.group.own(self.photos.len())];
        let rows = || match own {
            [] => Ok(Vec::new()),
            own => Ok(self.computed(model, own)?.flatten_all()?.to_vec1()?),
        };
        let all = self.group.rows(rows())?;
        let photos = self.photos.len();
        let width = all.len() / photos.max(1);
        Ok(Tensor::from_vec(all, (photos, width), &Device::Cpu)?)
    }

    fn computed(&self, model: &MultiTaskModel, photos: &[usize]) -> Result<Tensor> {
        features(
            model,
            &self.spec.input,
            self.dataset,
            photos,
            self.loading,
            &mut |_| (),
        )
    }

    /// The figures of a model of these tensors.
    ///
    /// # Errors
    /// If a photo cannot be read.
    pub(super) fn measure(
        &self,
        objective: &Objective,
        epoch: usize,
        train_loss: f64,
        tensors: &Tensors,
    ) -> Result<EpochRecord> {
        let none = vec![None; self.spec.heads.len()];
        let unmeasured = EpochRecord {
            epoch,
            train_loss,
            valid_loss: None,
            macro_f1: None,
            accuracy: None,
            head_accuracy: none.clone(),
            head_macro_f1: none,
            head_weights: Vec::new(),
            lr_backbone: None,
            lr_heads: None,
            gradients: None,
        };
        if self.photos.is_empty() {
            return Ok(unmeasured);
        }
        let file = ModelFile {
            description: Description::new(self.spec.clone(), serde_json::Value::Null)?,
            tensors: tensors.clone(),
        };
        let model = file.build()?;
        let features = self.features_of_all(&model)?;
        let outputs = model.outputs(&features, Mode::Eval)?;
        let logits = model.to_logits(outputs.clone())?.rows()?;
        let (taxonomy, dataset) = (&self.tasks.taxonomy, self.dataset);
        let report = counts(taxonomy, &self.decision, dataset, &self.photos, &logits)?;
        let samples = self.photos.iter().map(|s| &dataset.samples[*s]);
        let samples: Vec<_> = samples.collect();
        let measured = |score: &NamedScore, figure: f64| (score.photos > 0).then_some(figure);
        let figures = |of: fn(&NamedScore) -> f64| -> Vec<Option<f64>> {
            report.heads.iter().map(|h| measured(h, of(h))).collect()
        };
        let head_macro_f1 = figures(|h| h.macro_f1);
        let of_heads: Vec<f64> = head_macro_f1.iter().copied().flatten().collect();
        let mean = || of_heads.iter().sum::<f64>() / of_heads.len() as f64;
        let of_class = measured(&report.class, report.class.macro_f1);
        Ok(EpochRecord {
            valid_loss: objective.loss_of_samples(&outputs, &samples)?,
            macro_f1: of_class.or_else(|| (!of_heads.is_empty()).then(mean)),
            accuracy: measured(&report.class, report.class.accuracy),
            head_accuracy: figures(|h| h.accuracy),
            head_macro_f1,
            ..unmeasured
        })
    }

    /// Scores the best model, writes scores and predictions to the run's folder, and tunes the file's decision first where it is
    /// one that is tuned. `None` without photos.
    ///
    /// # Errors
    /// If a photo cannot be read or a file cannot be written.
    pub(super) fn finish(&self, folder: &RunFolder) -> Result<Option<ScoreReport>> {
        if self.photos.is_empty() {
            return Ok(None);
        }
        let (taxonomy, dataset, photos) = (&self.tasks.taxonomy, self.dataset, &self.photos);
        let best = folder.path(BEST);
        let mut file = ModelFile::read(&best)?;
        let model = file.build()?;
        let logits = logits(&model, &self.features(&model)?)?;
        let mut decision = self.decision.clone();
        if decision.rule.is_tuned() {
            let classes = classes(taxonomy, dataset, photos);
            decision = decide::tuned(decision, taxonomy, &logits, &classes)?;
            file.description.decision = decision.clone();
            file.write(&best)?;
        }
        let (predictions, report) = score(taxonomy, &decision, dataset, photos, &logits)?;
        let path = folder.path("valid_predictions.csv");
        write_predictions(&path, taxonomy, dataset, photos, &predictions)?;
        write_json(&folder.path("scores.json"), &report)?;
        Ok(Some(report))
    }
}
