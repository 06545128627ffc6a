//! Running a finished model over a part of a data set.

use super::metrics::{LabelSet, NumberPair};
use super::score::{MAX_CONFUSION, ScoreReport, Scored};
use crate::data::dataset::{Dataset, Sample, Value};
use crate::data::loader::{EVAL_BATCH, Loader, LoaderConfig, jobs, stack};
use crate::data::targets::{labels, labels_of};
use crate::error::{Error, Result};
use crate::head::{Distribution, HeadSpec};
use crate::input::InputSpec;
use crate::layers::Mode;
use crate::model::combine::{Decision, argmax};
use crate::model::{Logits, MultiTaskModel};
use crate::predict::{Ensemble, NumberPrediction, Prediction, Scores};
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

/// Predictions of some photos, and what is scored of each.
pub(crate) type Judged = (Vec<Prediction>, Vec<Scored>);

/// The predictions of these samples and their scores. What heads of several labels at once say goes by the thresholds of the
/// data set's heads, so the data is to be opened with the heads of the model.
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
    let (predictions, scored) = judge(taxonomy, decision, dataset, indices, logits)?;
    Ok((predictions, report(taxonomy, &dataset.heads, &scored)?))
}

/// As [`score`], photo by photo.
///
/// # Errors
/// As [`Prediction::from_logits`].
pub(crate) fn judge(
    taxonomy: &Taxonomy,
    decision: &Decision,
    dataset: &Dataset,
    indices: &[usize],
    logits: &[Logits],
) -> Result<Judged> {
    let scores = scores_of(taxonomy, decision, dataset, logits)?;
    // The product is worked out where it is needed, not kept.
    let kept = if *decision == Decision::default() {
        Kept::Heads
    } else {
        Kept::All
    };
    let to_prediction = |s: &Scores| s.to_prediction(taxonomy, decision.min_confidence);
    Ok((
        scores.iter().map(to_prediction).collect::<Result<_>>()?,
        scored(taxonomy, dataset, indices, &scores, kept),
    ))
}

/// The scores of photos of these heads.
///
/// # Errors
/// As [`ScoreReport::new`].
pub(crate) fn report(
    taxonomy: &Taxonomy,
    heads: &[HeadSpec],
    scored: &[Scored],
) -> Result<ScoreReport> {
    let ordered = (0..heads.len()).filter(|h| heads[*h].is_ordered());
    ScoreReport::new(taxonomy, &ordered.collect::<Vec<_>>(), scored)
}

/// The scores without what is measured on probabilities.
///
/// # Errors
/// As [`score`].
pub(crate) fn counts(
    taxonomy: &Taxonomy,
    decision: &Decision,
    dataset: &Dataset,
    indices: &[usize],
    logits: &[Logits],
) -> Result<ScoreReport> {
    let scores = scores_of(taxonomy, decision, dataset, logits)?;
    let scored = scored(taxonomy, dataset, indices, &scores, Kept::Nothing);
    report(taxonomy, &dataset.heads, &scored)
}

fn scores_of(
    taxonomy: &Taxonomy,
    decision: &Decision,
    dataset: &Dataset,
    logits: &[Logits],
) -> Result<Vec<Scores>> {
    let of_photo = |l: &Logits| Scores::from_logits(taxonomy, decision, &dataset.heads, l);
    logits.iter().map(of_photo).collect()
}

/// As [`score`], of an ensemble and photo by photo; `progress` is told the photos done.
///
/// # Errors
/// [`Error::Image`] naming a photo that cannot be read; as [`judge`].
pub(crate) fn judge_by(
    ensemble: &Ensemble,
    dataset: &Dataset,
    indices: &[usize],
    progress: &mut dyn FnMut(usize),
) -> Result<Judged> {
    let mut scores = Vec::with_capacity(indices.len());
    for indices in indices.chunks(EVAL_BATCH) {
        let samples = indices.iter().map(|i| &dataset.samples[*i]);
        let named: Vec<_> = samples.map(|s| (&s.photo, s.whole_path())).collect();
        let photos: Vec<_> = named.iter().map(|(p, name)| (*p, &**name)).collect();
        for of_photo in ensemble.scores_of(&photos)? {
            scores.push(of_photo?);
        }
        progress(scores.len());
    }
    let to_prediction = |s: &Scores| ensemble.to_prediction(s);
    Ok((
        scores.iter().map(to_prediction).collect::<Result<_>>()?,
        scored(ensemble.taxonomy(), dataset, indices, &scores, Kept::All),
    ))
}

/// Of which probabilities something is measured.
#[derive(Clone, Copy, PartialEq)]
enum Kept {
    Nothing,
    Heads,
    All,
}

/// Of each head that predicts a number, the number and what is said of it; no list where no head does.
fn numbers(sample: &Sample, scores: &Scores) -> Vec<Option<NumberPair>> {
    let pairs = sample.values.iter().zip(&scores.numbers);
    let of_head = |(value, found): (&Option<Value>, &Option<Distribution>)| {
        let (Some(Value::Number(truth)), Some(found)) = (value, found) else {
            return None;
        };
        let [least, greatest] = found.number.range;
        let [low, high] = NumberPrediction::INTERVAL.map(|share| found.quantile(share));
        Some(NumberPair {
            truth: *truth,
            predicted: found.mean(),
            // What lies beyond the range is said as its end.
            inside: (low..=high).contains(&truth.clamp(least, greatest)),
        })
    };
    pairs.map(of_head).collect()
}

/// Of each head the group that is known in place of a label; no list where there is none.
fn groups(sample: &Sample) -> Vec<Option<usize>> {
    let of_head = |value: &Option<Value>| match value {
        Some(Value::Group(group)) => Some(*group),
        _ => None,
    };
    let all: Vec<Option<usize>> = sample.values.iter().map(of_head).collect();
    if all.iter().any(Option::is_some) {
        all
    } else {
        Vec::new()
    }
}

/// Of each head of several labels at once, those of the photo and what is said of them; no list where there is no such head.
fn sets(heads: &[HeadSpec], sample: &Sample, scores: &Scores, kept: Kept) -> Vec<Option<LabelSet>> {
    let of_head = |(head, thresholds): (usize, &Option<Vec<f64>>)| {
        let (value, thresholds) = (sample.values[head].as_ref()?, thresholds.as_ref()?);
        let truth = labels_of(&heads[head], value);
        let probs = scores.heads[head].iter().map(|log| log.exp());
        Some(LabelSet {
            truth: (0..thresholds.len()).map(|l| truth.contains(&l)).collect(),
            predicted: scores.said(head, thresholds),
            probs: probs.filter(|_| kept != Kept::Nothing).collect(),
        })
    };
    scores.thresholds.iter().enumerate().map(of_head).collect()
}

/// Of each head of several labels at once, those of the photos that it applies to and whose labels are known, with what is said
/// of them; nothing of other heads.
///
/// # Errors
/// As [`score`].
pub(crate) fn label_sets(
    taxonomy: &Taxonomy,
    dataset: &Dataset,
    indices: &[usize],
    logits: &[Logits],
) -> Result<Vec<Vec<LabelSet>>> {
    let mut all = vec![Vec::new(); dataset.heads.len()];
    let scores = scores_of(taxonomy, &Decision::default(), dataset, logits)?;
    for (scores, i) in scores.iter().zip(indices) {
        let sample = &dataset.samples[*i];
        let applies = taxonomy.applies(&labels(&dataset.heads, sample));
        let found = sets(&dataset.heads, sample, scores, Kept::Heads);
        let heads = all.iter_mut().zip(found).zip(applies);
        for ((all, set), _) in heads.filter(|(_, applies)| *applies != Some(false)) {
            all.extend(set);
        }
    }
    Ok(all)
}

fn scored(
    taxonomy: &Taxonomy,
    dataset: &Dataset,
    indices: &[usize],
    scores: &[Scores],
    kept: Kept,
) -> Vec<Scored> {
    let of_classes = kept == Kept::All && taxonomy.num_classes() <= MAX_CONFUSION;
    let exp = |logs: &Vec<f64>| logs.iter().map(|p| p.exp()).collect::<Vec<f64>>();
    scores
        .iter()
        .zip(indices)
        .map(|(scores, i)| Scored {
            truth: labels(&dataset.heads, &dataset.samples[*i]),
            // Each head by itself; the final class is given beside it.
            predicted: scores.heads.iter().map(|p| argmax(p)).collect(),
            class: scores.class,
            numbers: numbers(&dataset.samples[*i], scores),
            sets: sets(&dataset.heads, &dataset.samples[*i], scores, kept),
            groups: groups(&dataset.samples[*i]),
            probs: match kept {
                Kept::Nothing => Vec::new(),
                _ => scores.heads.iter().map(exp).collect(),
            },
            class_probs: if of_classes {
                exp(&scores.classes)
            } else {
                Vec::new()
            },
        })
        .collect()
}
