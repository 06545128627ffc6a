//! Running a finished model over a part of a data set.

use super::score::{MAX_CONFUSION, ScoreReport, Scored};
use crate::data::dataset::Dataset;
use crate::data::loader::{EVAL_BATCH, Loader, LoaderConfig, jobs, stack};
use crate::data::targets::labels;
use crate::error::{Error, Result};
use crate::input::InputSpec;
use crate::layers::Mode;
use crate::model::MultiTaskModel;
use crate::model::combine::{Decision, argmax};
use crate::predict::{Ensemble, Opinion, Prediction};
use crate::taxonomy::Taxonomy;
use candle_core::Tensor;

/// The features of these samples, in their order; `progress` is told the photos done.
///
/// # Shapes
/// Result `(indices, num_features)`.
///
/// # Errors
/// [`Error::Image`] naming a photo that cannot be read; [`Error::Invalid`] if there is none.
pub fn features(
    model: &MultiTaskModel,
    input: &InputSpec,
    dataset: &Dataset,
    indices: &[usize],
    loading: LoaderConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Tensor> {
    let mut loader = Loader::start(jobs(dataset, indices), input, None, 0, 0, loading)?;
    let mut all = Vec::new();
    let mut done = 0;
    loop {
        let photos = loader
            .by_ref()
            .take(input.at_once(EVAL_BATCH))
            .collect::<Result<Vec<_>>>()?;
        if photos.is_empty() {
            break;
        }
        done += photos.len();
        all.push(model.features(&stack(&photos, input)?, Mode::Eval)?);
        progress(done);
    }
    if all.is_empty() {
        return Err(Error::Invalid {
            what: "the photos to compute features of".into(),
            expected: "at least one".into(),
            found: "none".into(),
        });
    }
    Ok(Tensor::cat(&all, 0)?)
}

/// Each head's logits of some features: for each photo one list a head, the joint head's last if there is one.
///
/// # Shapes
/// `features` `(photos, num_features)`.
///
/// # Errors
/// If the shape does not fit.
pub fn logits(model: &MultiTaskModel, features: &Tensor) -> Result<Vec<Vec<Vec<f32>>>> {
    let heads: Vec<Vec<Vec<f32>>> = model
        .logits(features, Mode::Eval)?
        .iter()
        .map(|l| Ok(l.to_vec2()?))
        .collect::<Result<_>>()?;
    Ok((0..features.dims()[0])
        .map(|i| heads.iter().map(|h| h[i].clone()).collect())
        .collect())
}

/// The predictions of these samples and their scores.
///
/// # Errors
/// As [`Prediction::from_logits`] and [`ScoreReport::new`].
pub fn score(
    taxonomy: &Taxonomy,
    decision: &Decision,
    dataset: &Dataset,
    indices: &[usize],
    logits: &[Vec<Vec<f32>>],
) -> Result<(Vec<Prediction>, ScoreReport)> {
    let opinion = |l: &Vec<Vec<f32>>| Opinion::from_logits(taxonomy, decision, l);
    let opinions = logits.iter().map(opinion).collect::<Result<Vec<_>>>()?;
    // The product is worked out where it is needed, not kept.
    let kept = *decision != Decision::default();
    let report = score_opinions(taxonomy, dataset, indices, &opinions, kept)?;
    let words = |o: &Opinion| o.prediction(taxonomy, decision.min_confidence);
    Ok((opinions.iter().map(words).collect::<Result<_>>()?, report))
}

/// The same of an ensemble; `progress` is told the photos done.
///
/// # Errors
/// [`Error::Image`] naming a photo that cannot be read; as [`score`].
pub fn score_ensemble(
    ensemble: &Ensemble,
    dataset: &Dataset,
    indices: &[usize],
    progress: &mut dyn FnMut(usize),
) -> Result<(Vec<Prediction>, ScoreReport)> {
    let mut opinions = Vec::with_capacity(indices.len());
    for indices in indices.chunks(EVAL_BATCH) {
        let paths: Vec<_> = indices.iter().map(|i| &dataset.samples[*i].path).collect();
        for opinion in ensemble.opinions_of_files(&paths)? {
            opinions.push(opinion?);
        }
        progress(opinions.len());
    }
    let report = score_opinions(ensemble.taxonomy(), dataset, indices, &opinions, true)?;
    let words = |o: &Opinion| ensemble.words(o);
    Ok((opinions.iter().map(words).collect::<Result<_>>()?, report))
}

fn score_opinions(
    taxonomy: &Taxonomy,
    dataset: &Dataset,
    indices: &[usize],
    opinions: &[Opinion],
    kept: bool,
) -> Result<ScoreReport> {
    let kept = kept && taxonomy.num_classes() <= MAX_CONFUSION;
    let exp = |logs: &Vec<f64>| logs.iter().map(|p| p.exp()).collect::<Vec<f64>>();
    let scored: Vec<Scored> = opinions
        .iter()
        .zip(indices)
        .map(|(opinion, i)| Scored {
            truth: labels(&dataset.heads, &dataset.samples[*i]),
            // Each head by itself; the final class is given beside it.
            predicted: opinion.heads.iter().map(|p| argmax(p)).collect(),
            class: opinion.class,
            probs: opinion.heads.iter().map(exp).collect(),
            class_probs: if kept {
                exp(&opinion.classes)
            } else {
                Vec::new()
            },
        })
        .collect();
    let ordered: Vec<usize> = (0..dataset.heads.len())
        .filter(|h| dataset.heads[*h].is_ordered())
        .collect();
    ScoreReport::new(taxonomy, &ordered, &scored)
}
