//! What a smaller file costs: two models on the same photos.

use super::evaluate::{features, logits, score};
use super::score::NamedScore;
use crate::data::dataset::Dataset;
use crate::data::loader::LoaderConfig;
use crate::error::Result;
use crate::model_file::ModelFile;
use crate::predict::HeadPrediction;
use serde::Serialize;

/// One head's scores by both models, or the final class's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostRow {
    /// The head, or "class".
    pub name: String,
    /// Photos scored.
    pub photos: u64,
    /// Share predicted right, by the first and the second.
    pub accuracy: [f64; 2],
    /// Macro F1, by the first and the second.
    pub macro_f1: [f64; 2],
    /// Photos that the two predict differently, of all photos.
    pub changed: usize,
    /// The greatest difference of a probability on any photo: of a label, or of the final class predicted first.
    pub greatest: f64,
}

/// Runs two models with the same heads and input over these samples; `progress` is told the photos done, twice the samples in
/// all.
///
/// # Errors
/// As [`features`].
pub fn compare_models(
    models: [&ModelFile; 2],
    dataset: &Dataset,
    indices: &[usize],
    loading: LoaderConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<CostRow>> {
    let mut outcomes = Vec::new();
    for (place, file) in models.into_iter().enumerate() {
        let model = file.build()?;
        let spec = &file.description.model;
        let mut of_both = |done| progress(place * indices.len() + done);
        let kept = features(&model, &spec.input, dataset, indices, loading, &mut of_both)?;
        let decision = &file.description.decision;
        let logits = logits(&model, &kept)?;
        outcomes.push(score(
            &spec.taxonomy()?,
            decision,
            dataset,
            indices,
            &logits,
        )?);
    }
    let [(first, of_first), (second, of_second)] =
        [&outcomes[0], &outcomes[1]].map(|o| (&o.0, &o.1));
    let row = |a: &NamedScore, b: &NamedScore, changed: usize, greatest: f64| CostRow {
        name: a.name.clone(),
        photos: a.photos,
        accuracy: [a.accuracy, b.accuracy],
        macro_f1: [a.macro_f1, b.macro_f1],
        changed,
        greatest,
    };
    let pairs = || first.iter().zip(second);
    let mut rows = Vec::new();
    // Of several labels at once all that are said.
    let said = |head: &HeadPrediction| {
        (
            head.labels.is_none().then_some(head.best),
            head.labels.clone(),
        )
    };
    for (h, (a, b)) in of_first.heads.iter().zip(&of_second.heads).enumerate() {
        let (mut changed, mut greatest) = (0, 0f64);
        for (a, b) in pairs() {
            let (a, b) = (&a.heads[h], &b.heads[h]);
            changed += usize::from(said(a) != said(b));
            let (a, b) = (&a.probs, &b.probs);
            let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
            greatest = apart.fold(greatest, f64::max);
        }
        rows.push(row(a, b, changed, greatest));
    }
    let changed = pairs().filter(|(a, b)| a.class != b.class).count();
    let same = pairs().filter(|(a, b)| a.class == b.class);
    let greatest = same
        .map(|(a, b)| (a.prob - b.prob).abs())
        .fold(0.0, f64::max);
    rows.push(row(&of_first.class, &of_second.class, changed, greatest));
    Ok(rows)
}
