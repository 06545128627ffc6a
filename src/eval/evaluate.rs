//! Running a finished model over a part of a data set.

use super::score::{MAX_CONFUSION, ScoreReport, Scored};
use crate::data::dataset::Dataset;
use crate::data::loader::{Decoded, Job, Loader};
use crate::data::targets::labels;
use crate::error::{Error, Result};
use crate::input::InputSpec;
use crate::layers::Mode;
use crate::model::combine::{Decision, argmax};
use crate::model::{Logits, MultiTaskModel};
use crate::predict::{Ensemble, Opinion, Prediction};
use crate::taxonomy::Taxonomy;
use candle_core::{Device, Tensor};

/// Photos a step of evaluation; has no effect on the results.
pub(crate) const BATCH: usize = 32;

/// Worker threads that decode, and bytes they may decode ahead.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    /// Threads.
    pub workers: usize,
    /// Bytes of normalised photos held at once.
    pub bytes: usize,
}

impl Queue {
    /// One worker for each of the threads there are, and a budget in MiB.
    pub fn new(mib: usize) -> Self {
        Self {
            workers: rayon::current_num_threads(),
            bytes: mib << 20,
        }
    }
}

/// The jobs that load these samples.
pub fn jobs(dataset: &Dataset, indices: &[usize]) -> Vec<Job> {
    indices
        .iter()
        .map(|i| Job {
            index: *i,
            again: 0,
            path: dataset.samples[*i].path.clone(),
        })
        .collect()
}

/// A batch tensor from loaded photos.
///
/// # Shapes
/// Result `(batch, channels, H, W)`.
///
/// # Errors
/// If the photos are not of the input's size.
pub fn stack(photos: &[Decoded], input: &InputSpec) -> Result<Tensor> {
    let [h, w] = input.size;
    let pixels: Vec<f32> = photos
        .iter()
        .flat_map(|p| p.pixels.iter().copied())
        .collect();
    Ok(Tensor::from_vec(
        pixels,
        (photos.len(), input.channels, h, w),
        &Device::Cpu,
    )?)
}

/// The features of these samples, in their order; `progress` is told the photos done.
///
/// # Shapes
/// Result `(indices, num_features)`.
///
/// # Errors
/// [`Error::Image`] naming a photo that cannot be read; [`Error::EmptySplit`] if there is none.
pub fn features(
    model: &MultiTaskModel,
    input: &InputSpec,
    dataset: &Dataset,
    indices: &[usize],
    queue: Queue,
    progress: &mut dyn FnMut(usize),
) -> Result<Tensor> {
    let mut loader = Loader::start(
        jobs(dataset, indices),
        input,
        None,
        0,
        0,
        queue.workers,
        queue.bytes,
    )?;
    let mut all = Vec::new();
    let mut done = 0;
    loop {
        let photos = loader.by_ref().take(BATCH).collect::<Result<Vec<_>>>()?;
        if photos.is_empty() {
            break;
        }
        done += photos.len();
        all.push(model.features(&stack(&photos, input)?, Mode::Eval)?);
        progress(done);
    }
    if all.is_empty() {
        return Err(Error::EmptySplit {
            split: "asked-for".into(),
            origin: "the data".into(),
            reason: "there is no photo to compute features of".into(),
        });
    }
    Ok(Tensor::cat(&all, 0)?)
}

/// The logits of each photo, from its features.
///
/// # Shapes
/// `features` `(photos, num_features)`.
///
/// # Errors
/// If the shape does not fit.
pub fn logits(model: &MultiTaskModel, features: &Tensor) -> Result<Vec<Logits>> {
    model.logits(features, Mode::Eval)?.rows()
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
    logits: &[Logits],
) -> Result<(Vec<Prediction>, ScoreReport)> {
    let opinion = |l: &Logits| Opinion::from_logits(taxonomy, decision, l);
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
    for indices in indices.chunks(BATCH) {
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
