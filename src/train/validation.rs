//! The figures of an epoch, on the validation split.

use super::run::EpochRecord;
use super::source::Source;
use super::trainer::Run;
use crate::error::Result;
use crate::eval::evaluate::{features, logits, score};
use crate::eval::score::{NamedScore, ScoreReport};
use crate::layers::Mode;
use crate::model::combine::Decision;
use crate::model::{Logits, MultiTaskModel};
use crate::model_file::{Description, ModelFile, Tensors};
use crate::predict::Prediction;
use candle_core::{Device, Tensor};

impl Run<'_> {
    /// A model of these tensors, as constants.
    fn frozen(&self, tensors: &Tensors) -> Result<ModelFile> {
        let description = Description::new(self.spec.clone(), serde_json::Value::Null)?;
        Ok(ModelFile {
            description,
            tensors: tensors.clone(),
        })
    }

    /// The features of the validation split.
    ///
    /// # Shapes
    /// Result `(valid, num_features)`.
    pub(super) fn valid_features(&self, model: &MultiTaskModel) -> Result<Tensor> {
        match &self.source {
            Source::Kept(kept) => kept.valid(),
            Source::Photos => features(
                model,
                &self.spec.input,
                self.dataset,
                &self.valid,
                self.queue,
                &mut |_| (),
            ),
        }
    }

    /// The predictions of the validation split, and their scores.
    pub(super) fn score(
        &self,
        decision: &Decision,
        logits: &[Logits],
    ) -> Result<(Vec<Prediction>, ScoreReport)> {
        let taxonomy = &self.tasks.taxonomy;
        score(taxonomy, decision, self.dataset, &self.valid, logits)
    }

    pub(super) fn validate(
        &self,
        epoch: usize,
        train_loss: f64,
        tensors: &Tensors,
    ) -> Result<EpochRecord> {
        if self.valid.is_empty() {
            let none = vec![None; self.spec.heads.len()];
            return Ok(EpochRecord {
                epoch,
                train_loss,
                valid_loss: None,
                macro_f1: None,
                accuracy: None,
                head_accuracy: none.clone(),
                head_macro_f1: none,
                head_weights: Vec::new(),
                gradients: None,
            });
        }
        let model = self.frozen(tensors)?.build()?;
        let features = self.valid_features(&model)?;
        let outputs = model.outputs(&features, Mode::Eval)?;
        let logits = logits(&model, &features)?;
        let (_, report) = self.score(&self.decision, &logits)?;
        let (mut valid_loss, mut labelled) = (0.0, false);
        let samples = || self.valid.iter().map(|s| &self.dataset.samples[*s]);
        let known: Vec<Vec<Option<usize>>> = samples().map(|s| self.tasks.labels(s)).collect();
        let heads = self.tasks.heads().zip(&self.losses).zip(outputs.iter());
        for (i, ((head, loss), outputs)) in heads.enumerate() {
            let labels = known.iter().map(|k| k[i]);
            let n = head.num_labels();
            let one_hot: Vec<f32> = labels
                .clone()
                .flat_map(|l| (0..n).map(move |c| if l == Some(c) { 1.0 } else { 0.0 }))
                .collect();
            let weights: Vec<f32> = labels
                .map(|l| if l.is_some() { 1.0 } else { 0.0 })
                .collect();
            let rows = known.len();
            let one_hot = Tensor::from_vec(one_hot, (rows, n), &Device::Cpu)?;
            if let Some(l) = loss.loss(
                outputs,
                &one_hot,
                &Tensor::from_vec(weights, rows, &Device::Cpu)?,
            )? {
                valid_loss += head.loss.weight * f64::from(l.to_scalar::<f32>()?);
                labelled = true;
            }
        }
        if let Some((factor, consistency)) = &self.consistency {
            valid_loss += factor * f64::from(consistency.loss(&outputs)?.to_scalar::<f32>()?);
        }
        let measured = |score: &NamedScore, figure: f64| (score.photos > 0).then_some(figure);
        let figures = |of: fn(&NamedScore) -> f64| -> Vec<Option<f64>> {
            report.heads.iter().map(|h| measured(h, of(h))).collect()
        };
        let head_macro_f1 = figures(|h| h.macro_f1);
        let of_heads: Vec<f64> = head_macro_f1.iter().copied().flatten().collect();
        let mean = || of_heads.iter().sum::<f64>() / of_heads.len() as f64;
        let of_class = measured(&report.class, report.class.macro_f1);
        Ok(EpochRecord {
            epoch,
            train_loss,
            valid_loss: labelled.then_some(valid_loss),
            macro_f1: of_class.or_else(|| (!of_heads.is_empty()).then(mean)),
            accuracy: measured(&report.class, report.class.accuracy),
            head_accuracy: figures(|h| h.accuracy),
            head_macro_f1,
            head_weights: Vec::new(),
            gradients: None,
        })
    }
}
