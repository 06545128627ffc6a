//! What other models say of the photos that are trained on, as targets beside the given labels, or in their place where there
//! are none.

use super::config::TeacherConfig;
use super::event::Event;
use crate::data::dataset::Sample;
use crate::data::soft_labels::{SoftLabels, SoftRows, names};
use crate::error::{Error, Result};
use crate::head::HeadSpec;
use crate::predict::{Ensemble, Predict, Prediction};
use crate::taxonomy::Taxonomy;
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

impl Soft {
    /// Of these photos: read from `file`, where a run that goes on has left them, or asked for and left there. None if stopped.
    ///
    /// # Errors
    /// If the teacher cannot be read, or does not know the heads.
    pub(super) fn new(
        config: &TeacherConfig,
        heads: &[HeadSpec],
        samples: &[&Sample],
        file: &Path,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(&Event),
    ) -> Result<Option<Self>> {
        let found = if file.is_file() {
            SoftLabels::read(file, heads)?
        } else {
            let found = if config.is_table() {
                Some(SoftLabels::read(&config.model, heads)?)
            } else {
                ask(config, heads, samples, stop, on_event)?
            };
            let Some(found) = found else { return Ok(None) };
            found.write(file)?;
            found
        };
        let none = || vec![None; heads.len()];
        let mut rows = Vec::new();
        for (sample, name) in samples.iter().zip(names(samples)) {
            let mut own = found.of(&name, sample).cloned().unwrap_or_else(none);
            for (row, (head, given)) in own.iter_mut().zip(heads.iter().zip(&sample.values)) {
                // Bins have no probabilities here; and of a photo without a label only what is sure enough is believed.
                let sure = |row: &Vec<f32>| row.iter().any(|p| f64::from(*p) >= config.threshold);
                if head.labels.number.is_some()
                    || given.is_none() && !row.as_ref().is_some_and(sure)
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
        Ok(Some(Self {
            rows,
            weight: config.weight as f32,
        }))
    }

    /// What is said of a photo, by its place in the split, and how much it counts beside its own labels.
    pub(super) fn of(&self, place: usize) -> (&SoftRows, f32) {
        (&self.rows[place], self.weight)
    }
}

/// Asks a model, or an ensemble, about every photo of the training split, as it is for prediction.
fn ask(
    config: &TeacherConfig,
    heads: &[HeadSpec],
    samples: &[&Sample],
    stop: &AtomicBool,
    on_event: &mut dyn FnMut(&Event),
) -> Result<Option<SoftLabels>> {
    let teacher = Ensemble::from_file(&config.model)?;
    let places = known(config, heads, teacher.taxonomy())?;
    let mut found = SoftLabels::new(heads);
    let mut names = names(samples).into_iter();
    for (chunk, photos) in samples.chunks(AT_ONCE).enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let sources: Vec<_> = photos.iter().map(|s| s.photo.clone()).collect();
        let names = names.by_ref();
        for (said, name) in teacher.predict_all(&sources)?.into_iter().zip(names) {
            let said = rows(&said?, &places, heads, config.temperature);
            found.insert(name, said);
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
