//! What other models say of the photos that are trained on, as targets beside the given labels, or in their place where there
//! are none.

use super::config::TeacherConfig;
use super::event::Event;
use crate::data::dataset::{Sample, Value};
use crate::data::soft_labels::{SoftLabels, SoftRows, names};
use crate::data::targets::target;
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::model::ModelSpec;
use crate::predict::{Ensemble, Predict, Prediction};
use crate::taxonomy::Taxonomy;
use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Photos a call; has no effect on what is said.
const AT_ONCE: usize = 256;

/// Soft targets of the photos of a training split.
pub(super) struct Soft {
    /// By place in the split.
    rows: Vec<SoftRows>,
    weight: f32,
}

/// What is said of these photos: read from `file`, where a run that goes on has left it, or asked for and left there. None if
/// stopped.
///
/// # Errors
/// If the teacher cannot be read, or does not know the heads.
pub(super) fn said(
    config: &TeacherConfig,
    spec: &ModelSpec,
    samples: &[&Sample],
    (file, goes_on): (&Path, bool),
    stop: &AtomicBool,
    on_event: &mut dyn FnMut(&Event),
) -> Result<Option<Vec<SoftRows>>> {
    let (heads, keys) = (&spec.heads, keys(samples));
    let none = || vec![None; heads.len()];
    let said: Vec<SoftRows> = if goes_on && file.is_file() {
        let found = SoftLabels::read(file, heads)?;
        let of = |key: &String| found.named(key).cloned().unwrap_or_else(none);
        keys.iter().map(of).collect()
    } else {
        let said = if config.is_table() {
            let found = SoftLabels::read(&config.model, heads)?;
            let named = names(samples).into_iter().zip(samples);
            let of = |(name, sample): (String, &&Sample)| found.of(&name, sample).cloned();
            Some(named.map(|one| of(one).unwrap_or_else(none)).collect())
        } else {
            ask(config, heads, samples, stop, on_event)?
        };
        let Some(said): Option<Vec<SoftRows>> = said else {
            return Ok(None);
        };
        // Under names that are the same from wherever the run goes on.
        let mut kept = SoftLabels::new(heads);
        for (key, rows) in keys.iter().zip(&said) {
            if rows.iter().any(Option::is_some) {
                kept.insert(key.clone(), rows.clone());
            }
        }
        kept.write(file)?;
        said
    };
    let silent = said.iter().filter(|rows| rows.iter().all(Option::is_none));
    let silent = silent.count();
    if silent > 0 && silent < said.len() {
        on_event(&Event::Warning(&format!(
            "the teacher says nothing of {silent} of {} photos in training",
            said.len()
        )));
    }
    Ok(Some(said))
}

/// Rows by photo and head, each value by its bits.
type Bits = Option<Vec<Vec<Option<Vec<u32>>>>>;

/// What is said, for another process.
///
/// # Errors
/// If it cannot be written.
pub(super) fn to_bytes(said: Option<Vec<SoftRows>>) -> Result<Vec<u8>> {
    let row = |row: Option<Vec<f32>>| row.map(|row| row.into_iter().map(f32::to_bits).collect());
    let bits: Bits = said.map(|all| {
        let of_photo = |rows: SoftRows| rows.into_iter().map(row).collect();
        all.into_iter().map(of_photo).collect()
    });
    serde_json::to_vec(&bits).map_err(|e| garbled(&e.to_string()))
}

/// What [`to_bytes`] made.
///
/// # Errors
/// If it is nothing of the kind.
pub(super) fn from_bytes(bytes: &[u8]) -> Result<Option<Vec<SoftRows>>> {
    let bits: Bits = serde_json::from_slice(bytes).map_err(|e| garbled(&e.to_string()))?;
    let row = |row: Option<Vec<u32>>| row.map(|row| row.into_iter().map(f32::from_bits).collect());
    Ok(bits.map(|all| {
        let of_photo = |rows: Vec<Option<Vec<u32>>>| rows.into_iter().map(row).collect();
        all.into_iter().map(of_photo).collect()
    }))
}

fn garbled(found: &str) -> Error {
    Error::Invalid {
        what: "what the first process says of the teacher".into(),
        expected: "rows of photos".into(),
        found: found.into(),
    }
}

impl Soft {
    /// Of these photos, of whom that is [said].
    ///
    /// # Errors
    /// If nothing of it is to be believed.
    pub(super) fn new(
        config: &TeacherConfig,
        spec: &ModelSpec,
        samples: &[&Sample],
        said: Vec<SoftRows>,
    ) -> Result<Self> {
        let heads = &spec.heads;
        let taxonomy = spec.taxonomy()?;
        let mut rows = Vec::new();
        for (sample, mut own) in samples.iter().zip(said) {
            let of_heads = heads.iter().zip(&sample.values).enumerate();
            for (row, (place, (head, given))) in own.iter_mut().zip(of_heads) {
                // A number in a band that is dropped is to teach nothing.
                let dropped = matches!(given, Some(Value::Number(_)));
                let known = given.as_ref().and_then(|value| target(head, value));
                if let (Some(Value::Group(group)), Some(groups)) = (given, taxonomy.groups(place)) {
                    *row = row
                        .take()
                        .and_then(|row| within(row, &groups.labels()[*group]));
                }
                // Bins have no probabilities here; and of a photo without a label only what is sure enough is believed.
                let sure = |row: &Vec<f32>| row.iter().any(|p| f64::from(*p) >= config.threshold);
                if head.labels.number.is_some()
                    || known.is_none() && (dropped || !row.as_ref().is_some_and(sure))
                {
                    *row = None;
                }
            }
            rows.push(own);
        }
        if rows.iter().flatten().all(Option::is_none) {
            return Err(Error::Invalid {
                what: "train.teacher".into(),
                expected: "probabilities of photos that are trained on, by their names as the listing has them".into(),
                found: format!("none in {}", config.model.display()),
            });
        }
        Ok(Self {
            rows,
            weight: config.weight as f32,
        })
    }

    /// What is said of a photo, by its place in the split, and how much it counts beside its own labels.
    pub(super) fn of(&self, place: usize) -> (&SoftRows, f32) {
        (&self.rows[place], self.weight)
    }
}

/// What is said of labels among which the photo's is known to be; none if that is nothing.
fn within(mut row: Vec<f32>, labels: &[usize]) -> Option<Vec<f32>> {
    let sum: f32 = labels.iter().map(|l| row[*l]).sum();
    for (label, p) in row.iter_mut().enumerate() {
        *p = if labels.contains(&label) {
            *p / sum
        } else {
            0.0
        };
    }
    (sum > 0.0).then_some(row)
}

/// What the run's own table calls photos: their names, the second of a name and those after it with their number.
fn keys(samples: &[&Sample]) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut keys = Vec::with_capacity(samples.len());
    for sample in samples {
        let count = counts.entry(&sample.name).or_default();
        *count += 1;
        keys.push(match *count {
            1 => sample.name.clone(),
            n => format!("{} #{n}", sample.name),
        });
    }
    keys
}

/// Asks a model, or an ensemble, about every photo of the training split, as it is for prediction.
fn ask(
    config: &TeacherConfig,
    heads: &[HeadSpec],
    samples: &[&Sample],
    stop: &AtomicBool,
    on_event: &mut dyn FnMut(&Event),
) -> Result<Option<Vec<SoftRows>>> {
    let teacher = Ensemble::from_file(&config.model)?;
    let places = known(config, heads, teacher.taxonomy())?;
    let mut found = Vec::with_capacity(samples.len());
    for (chunk, photos) in samples.chunks(AT_ONCE).enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let sources: Vec<_> = photos.iter().map(|s| s.photo.clone()).collect();
        for said in teacher.predict_all(&sources)? {
            found.push(rows(&said?, &places, heads, config.temperature));
        }
        on_event(&Event::Teacher {
            done: chunk * AT_ONCE + photos.len(),
            of: samples.len(),
        });
    }
    Ok(Some(found))
}

/// For each head the teacher's of that name, and where that has each of its labels.
type Places = Vec<Option<(usize, Vec<usize>)>>;

fn known(config: &TeacherConfig, heads: &[HeadSpec], teacher: &Taxonomy) -> Result<Places> {
    let mut places = Places::new();
    for head in heads {
        if head.labels.number.is_some() {
            places.push(None);
            continue;
        }
        let Some(theirs) = teacher.heads().iter().position(|name| *name == head.name) else {
            places.push(None);
            continue;
        };
        let (own, of_teacher) = (&head.labels.names, teacher.labels(theirs));
        let place = |label: &String| of_teacher.iter().position(|l| l == label);
        let found: Option<Vec<usize>> = own.iter().map(place).collect();
        let alike = of_teacher.len() == own.len()
            && teacher.is_multi_label(theirs) == head.is_multi_label();
        match found.filter(|_| alike) {
            Some(found) => places.push(Some((theirs, found))),
            None => {
                return Err(Error::Invalid {
                    what: format!("the head `{}` of {}", head.name, config.model.display()),
                    expected: format!("the labels {}, to teach them", own.join(", ")),
                    found: of_teacher.join(", "),
                });
            }
        }
    }
    if places.iter().all(Option::is_none) {
        return Err(Error::Invalid {
            what: format!("train.teacher.model, {}", config.model.display()),
            expected: "a model with one of the heads that are trained".into(),
            found: teacher.heads().join(", "),
        });
    }
    Ok(places)
}

/// A prediction as targets: p^(1/T), the softmax of the logits over the temperature T (Hinton, Vinyals, Dean 2015, "Distilling the
/// Knowledge in a Neural Network"); of several labels at once the sigmoid of theirs.
fn rows(said: &Prediction, places: &Places, heads: &[HeadSpec], temperature: f64) -> SoftRows {
    let of_head = |(place, head): (&Option<(usize, Vec<usize>)>, &HeadSpec)| {
        let (theirs, labels) = place.as_ref()?;
        let raised = |p: f64| p.powf(1.0 / temperature);
        let probs = labels.iter().map(|l| said.heads[*theirs].probs[*l]);
        Some(if head.is_multi_label() {
            probs
                .map(|p| (raised(p) / (raised(p) + raised(1.0 - p))) as f32)
                .collect()
        } else {
            let raised: Vec<f64> = probs.map(raised).collect();
            let sum: f64 = raised.iter().sum();
            raised.iter().map(|p| (p / sum) as f32).collect()
        })
    };
    places.iter().zip(heads).map(of_head).collect()
}
