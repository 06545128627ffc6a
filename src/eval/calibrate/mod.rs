//! A finished model made more honest, on photos that it was not trained on: temperatures of its heads and of the final class, a
//! confidence below which it abstains, and what tells it that a photo is like none it knows.

mod principal;
mod temperature;

#[cfg(feature = "audit")]
pub(crate) use principal::orthonormalise;
pub use temperature::best_temperature;

use super::decide;
use super::evaluate::logits;
use super::metrics::Probabilities;
use crate::error::{Error, Result};
use crate::head::{LossKind, Readout, borders};
use crate::layers::Mode;
use crate::model::combine::{Decision, log_softmax};
use crate::model::{JOINT, Logits};
use crate::model_file::ModelFile;
use crate::taxonomy::Taxonomy;
use candle_core::{Device, Tensor};
use serde::Serialize;
use temperature::{is_bound, tempered};

/// One head's calibration, or the final class's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibrated {
    /// The head, or "class".
    pub name: String,
    /// Photos it was found on.
    pub photos: usize,
    /// The temperature; above 1, the model was too sure.
    pub temperature: f64,
    /// Whether that is a bound of its search, 1/64 or 64: so few photos, or so alike, that they do not tell it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub at_bound: bool,
    /// Mean of −log p(truth) before and after; `None` without photos.
    pub log_loss: Option<[f64; 2]>,
    /// Expected calibration error before and after, see [`Probabilities::calibration_error`]; `None` without photos.
    pub calibration_error: Option<[f64; 2]>,
}

/// When a prediction abstains.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Abstain {
    /// Never, or as before.
    #[default]
    Unchanged,
    /// Below this probability of the final class.
    Below(f64),
    /// Below the least probability above which this share of the photos was predicted right.
    ForAccuracy(f64),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CalibrationReport {
    /// The heads in order but for those of several labels at once, whose layers are left as they are, the joint head if there is
    /// one, then the final class if some head is part of it.
    pub temperatures: Vec<Calibrated>,
    /// Below this probability of the final class a prediction abstains.
    pub min_confidence: f64,
    /// Whether the file tells novelty now.
    pub novelty: bool,
    /// Heads of several labels at once that see, by `after`, heads whose probabilities have changed: theirs have changed with
    /// them, so that thresholds which were tuned before are to be tuned anew.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shifted: Vec<String>,
}

impl CalibrationReport {
    /// What should be known before the model is used, in words: the temperatures that photos did not tell, and the heads of
    /// several labels at once whose thresholds may no longer fit.
    pub fn warnings(&self) -> Vec<String> {
        let bound = self.temperatures.iter().filter(|t| t.at_bound);
        let words = |t: &Calibrated| {
            format!(
                "warning: the temperature of {} is {}, a bound of its search: its {} photos of the validation side are too few to tell it; calibrate on more",
                t.name, t.temperature, t.photos
            )
        };
        let shifted = self.shifted.iter().map(|head| {
            format!(
                "warning: head {head}, of several labels at once, sees heads that are calibrated now, so that its probabilities \
                 have changed; if its thresholds were tuned, tune them anew (`hydranet decide --thresholds`)"
            )
        });
        bound.map(words).chain(shifted).collect()
    }
}

/// The log-probabilities of a head's labels from one photo's outputs, divided by a temperature.
fn of_outputs(readout: &Readout, outputs: &[f32], temperature: f64) -> Vec<f64> {
    if readout.is_plain() {
        return tempered(&log_softmax(outputs), temperature);
    }
    let scaled = outputs.iter().map(|o| (f64::from(*o) / temperature) as f32);
    log_softmax(&readout.logits(&scaled.collect::<Vec<_>>()))
}

/// The model with temperatures found on photos with these features and labels. A head's is folded into its last layer: the file
/// is read like any other, and the head keeps it wherever it goes. A head of several labels at once has none; its probabilities
/// change only where it sees calibrated heads (`after`), see [`CalibrationReport::shifted`]. The final class's is in the
/// decision; offsets that were tuned are tuned anew.
///
/// # Shapes
/// `features` `(photos, num_features)`; `labels` and `classes` have one entry a photo, those of the heads that apply and are
/// known, and the final class where it is known.
///
/// # Errors
/// [`Error::Invalid`] if no photo is right often enough for [`Abstain::ForAccuracy`], or nothing is known of any photo; or if all
/// heads are of several labels at once and the file does not tell novelty, so that there is nothing to calibrate.
pub fn calibrate(
    file: &ModelFile,
    features: &Tensor,
    labels: &[Vec<Option<usize>>],
    classes: &[Option<usize>],
    abstain: Abstain,
) -> Result<(ModelFile, CalibrationReport)> {
    let taxonomy = file.description.model.taxonomy()?;
    if !taxonomy.has_classes() && file.description.novelty.is_none() {
        return Err(Error::Invalid {
            what: "the heads to calibrate".into(),
            expected: "some of which a photo has one label".into(),
            found: format!(
                "only those of several at once, {}",
                taxonomy.heads().join(", ")
            ),
        });
    }
    let model = file.build()?;
    let outputs = model.outputs(features, Mode::Eval)?;
    let before = model.to_logits(outputs.clone())?.rows()?;
    let uncalibrated = of_classes(&taxonomy, &file.description.decision, &before, classes)?;
    let mut file = file.clone();
    let spec = file.description.model.clone();
    let joint = spec.joint.as_ref().map(|j| j.head(&taxonomy));
    // Each head, what its tensors' names begin with, and the truth of each photo.
    let heads = spec.heads.iter().enumerate().map(|(place, head)| {
        let truth: Vec<Option<usize>> = labels.iter().map(|photo| photo[place]).collect();
        (head, format!("heads.{}", head.name), truth)
    });
    let joint = joint
        .iter()
        .map(|h| (h, JOINT.to_string(), classes.to_vec()));
    let all: Vec<_> = heads.chain(joint).collect();
    let mut order = model.order().to_vec();
    order.extend(order.len()..all.len());
    let mut temperatures: Vec<Option<Calibrated>> = vec![None; all.len()];
    // Whether a head's probabilities have changed.
    let mut moved = vec![false; all.len()];
    for place in order {
        let (head, prefix, truth) = &all[place];
        let is_moved = |other: &String| {
            let other = spec.heads.iter().position(|h| h.name == *other);
            other.is_some_and(|other| moved[other])
        };
        moved[place] = head.layers.after.iter().any(is_moved);
        if head.is_multi_label() {
            continue;
        }
        let behind = !head.layers.after.is_empty();
        // Such a head sees those before it as they are now.
        let again = behind.then(|| file.build()?.outputs(features, Mode::Eval));
        let again = again.transpose()?;
        let Some(outputs) = again.as_ref().unwrap_or(&outputs).iter().nth(place) else {
            continue;
        };
        let rows: Vec<Vec<f32>> = outputs.to_vec2()?;
        let photos = truth.iter().enumerate();
        let known: Vec<(usize, usize)> = photos.filter_map(|(i, t)| Some((i, (*t)?))).collect();
        let truth: Vec<usize> = known.iter().map(|(_, label)| *label).collect();
        let readout = Readout::new(head);
        let at = |i: usize, t: f64| of_outputs(&readout, &rows[known[i].0], t);
        let found = best_temperature(&truth, at);
        fold(&mut file, prefix, &head.loss.kind, found)?;
        moved[place] |= found != 1.0;
        let all = |t: f64| (0..truth.len()).map(|i| at(i, t)).collect::<Vec<_>>();
        let pair = [&all(1.0)[..], &all(found)];
        let labels = head.num_labels();
        temperatures[place] = Some(fit(&head.name, labels, &truth, found, pair)?);
    }
    let mut temperatures: Vec<Calibrated> = temperatures.into_iter().flatten().collect();
    let calibrated = logits(&file.build()?, features)?;
    let decision = &mut file.description.decision;
    let class = calibrate_class(decision, &taxonomy, &calibrated, classes, &uncalibrated)?;
    let is_unknown = class.photos == 0 && temperatures.iter().all(|t| t.photos == 0);
    if taxonomy.has_classes() && is_unknown {
        return Err(Error::Invalid {
            what: "the photos to calibrate on".into(),
            expected: "labels of some of them".into(),
            found: "none".into(),
        });
    }
    temperatures.extend(taxonomy.has_classes().then_some(class));
    file.description.decision.min_confidence = match abstain {
        Abstain::Unchanged => file.description.decision.min_confidence,
        Abstain::Below(least) => least,
        Abstain::ForAccuracy(wanted) => {
            let decision = &file.description.decision;
            threshold(decision, &taxonomy, &calibrated, classes, wanted)?
        }
    };
    let decision = &file.description.decision;
    decision.validate(&taxonomy, spec.joint.is_some())?;
    let shifted = spec.heads.iter().zip(&moved);
    let shifted = shifted.filter(|(head, moved)| head.is_multi_label() && **moved);
    let report = CalibrationReport {
        shifted: shifted.map(|(head, _)| head.name.clone()).collect(),
        temperatures,
        min_confidence: file.description.decision.min_confidence,
        novelty: file.description.novelty.is_some(),
    };
    let training = &mut file.description.training;
    if training.is_null() {
        *training = serde_json::json!({});
    }
    if let Some(table) = training.as_object_mut() {
        let kept = serde_json::to_value(&report).unwrap_or_default();
        table.insert("calibration".into(), kept);
    }
    Ok((file, report))
}

/// The log-probabilities of the final classes, of the photos whose class is known.
fn of_classes(
    taxonomy: &Taxonomy,
    decision: &Decision,
    logits: &[Logits],
    classes: &[Option<usize>],
) -> Result<Vec<Vec<f64>>> {
    let known = logits
        .iter()
        .zip(classes)
        .filter(|(_, class)| class.is_some());
    known
        .map(|(logits, _)| decide::all_log_probs(decision, taxonomy, logits))
        .collect()
}

/// The final class's temperature, with the heads' in place.
fn calibrate_class(
    decision: &mut Decision,
    taxonomy: &Taxonomy,
    logits: &[Logits],
    classes: &[Option<usize>],
    uncalibrated: &[Vec<f64>],
) -> Result<Calibrated> {
    let truth: Vec<usize> = classes.iter().copied().flatten().collect();
    if !truth.is_empty() {
        decision.temperature = 1.0;
        let log_probs = of_classes(taxonomy, decision, logits, classes)?;
        let at = |i: usize, t: f64| tempered(&log_probs[i], t);
        decision.temperature = best_temperature(&truth, at);
    }
    let calibrated = of_classes(taxonomy, decision, logits, classes)?;
    let found = decision.temperature;
    *decision = decide::tuned(decision.clone(), taxonomy, logits, classes)?;
    let classes = taxonomy.num_classes();
    fit("class", classes, &truth, found, [uncalibrated, &calibrated])
}

/// How well log-probabilities fit before and after.
fn fit(
    name: &str,
    labels: usize,
    truth: &[usize],
    temperature: f64,
    log_probs: [&[Vec<f64>]; 2],
) -> Result<Calibrated> {
    let mut measured = Vec::new();
    for rows in log_probs {
        let (mut probs, mut loss) = (Probabilities::new(labels), 0.0);
        for (row, label) in rows.iter().zip(truth) {
            loss -= row[*label] / truth.len() as f64;
            let row: Vec<f64> = row.iter().map(|p| p.exp()).collect();
            probs.add(*label, &row)?;
        }
        measured.push((loss, probs.calibration_error()));
    }
    let (before, after) = (measured[0], measured[1]);
    Ok(Calibrated {
        name: name.into(),
        photos: truth.len(),
        temperature,
        at_bound: is_bound(temperature),
        log_loss: (!truth.is_empty()).then_some([before.0, after.0]),
        calibration_error: before.1.zip(after.1).map(|(b, a)| [b, a]),
    })
}

/// Divides a head's outputs by a temperature, in its last layer.
fn fold(file: &mut ModelFile, prefix: &str, loss: &LossKind, temperature: f64) -> Result<()> {
    for part in ["weight", "bias"] {
        let name = format!("{prefix}.fc.{part}");
        let Some(tensor) = file.tensors.get_mut(&name) else {
            continue;
        };
        let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        // `coral`'s biases count from fixed borders.
        let start = match (loss, part) {
            (LossKind::Coral, "bias") => borders(values.len()),
            _ => vec![0.0; values.len()],
        };
        let scaled = values
            .iter()
            .zip(start)
            .map(|(v, s)| ((f64::from(*v) + s) / temperature - s) as f32);
        *tensor = Tensor::from_vec(scaled.collect::<Vec<_>>(), tensor.dims(), &Device::Cpu)?;
    }
    Ok(())
}

/// The least probability of the final class above which the share of photos predicted right is at least `wanted`.
fn threshold(
    decision: &Decision,
    taxonomy: &Taxonomy,
    logits: &[Logits],
    classes: &[Option<usize>],
    wanted: f64,
) -> Result<f64> {
    let mut photos = Vec::new();
    for (logits, class) in logits.iter().zip(classes) {
        if let Some(class) = class {
            let prediction = crate::Prediction::from_logits(taxonomy, decision, logits)?;
            photos.push((prediction.prob, prediction.class == *class));
        }
    }
    photos.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut right, mut found, mut best) = (0, None, 0.0f64);
    for (i, (prob, is_right)) in photos.iter().enumerate() {
        right += usize::from(*is_right);
        // Photos of the same probability are all in or all out.
        if photos.get(i + 1).is_some_and(|next| next.0 == *prob) {
            continue;
        }
        let accuracy = right as f64 / (i + 1) as f64;
        best = best.max(accuracy);
        if accuracy >= wanted {
            found = Some(*prob);
        }
    }
    found.ok_or_else(|| Error::Invalid {
        what: "the accuracy to abstain for".into(),
        expected: format!(
            "at most {best:.4}, what the surest of the {} photos reach",
            photos.len()
        ),
        found: wanted.to_string(),
    })
}

/// The model with statistics by which it tells novelty.
///
/// # Shapes
/// `train` and `aside` `(photos, num_features)`: features of the photos it was trained on, and of others.
///
/// # Errors
/// [`Error::Invalid`] if there are fewer than two of either, or all are alike.
pub fn with_novelty(file: &ModelFile, train: &Tensor, aside: &Tensor) -> Result<ModelFile> {
    // Wider rows begin with the backbone's own features.
    let width = file.description.model.backbone.num_features();
    let own = |rows: &Tensor| rows.narrow(1, 0, width.min(rows.dim(1)?));
    let (spec, tensors) = principal::novelty(&own(train)?, &own(aside)?)?;
    let mut file = file.clone();
    file.description.novelty = Some(spec);
    file.tensors.retain(|name, _| !name.starts_with("novelty."));
    file.tensors.extend(tensors);
    Ok(file)
}
