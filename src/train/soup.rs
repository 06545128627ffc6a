//! The weights of several runs averaged into one model (Wortsman et al. 2022, "Model soups: averaging weights of multiple
//! fine-tuned models improves accuracy without increasing inference time").

use super::batch_norm::with_new_statistics;
use super::batches::Batches;
use super::config::Config;
use super::loss::tasks::Tasks;
use super::network::Network;
use crate::data::dataset::{Dataset, Split, empty_split};
use crate::data::loader::LoaderConfig;
use crate::data::seen::{Known, contents};
use crate::error::{Error, Result};
use crate::eval::evaluate::{counts, features, logits};
use crate::model_file::activations::is_of_activations;
use crate::model_file::{Description, ModelFile, Tensors, WeightDType};
use candle_core::Tensor;
use serde_json::json;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

/// A model of averaged weights.
pub(crate) struct Soup {
    pub(crate) file: ModelFile,
    /// The places of the models in it, the best first.
    pub(crate) used: Vec<usize>,
    /// Macro F1 of each model by itself on the validation side, and that of the average.
    pub(crate) alone: Vec<f64>,
    pub(crate) together: f64,
}

/// Averages models of one configuration's heads and backbone. With `greedy` each is taken in, from the best on the validation side to the
/// worst, only if the average then scores no worse there; else all are. Statistics of batch normalisation are found anew, in a pass over the
/// photos of training.
///
/// # Errors
/// [`Error::Invalid`] if there are fewer than two models, or they are not of one description; [`Error::EmptySplit`] without a
/// labelled validation side.
pub(crate) fn soup(
    config: &Config,
    models: &[ModelFile],
    dataset: &Dataset,
    greedy: bool,
    tell: &mut dyn FnMut(&str),
) -> Result<Soup> {
    let [first, others @ ..] = models else {
        return Err(few(0));
    };
    if others.is_empty() {
        return Err(few(1));
    }
    let spec = &first.description.model;
    for (i, other) in others.iter().enumerate() {
        if other.description.model != *spec {
            return Err(Error::Invalid {
                what: format!("model {} to average", i + 2),
                expected: "the backbone, heads and input of the first".into(),
                found: "others".into(),
            });
        }
    }
    let kitchen = Kitchen::new(config, first, dataset)?;
    for (i, model) in models.iter().enumerate() {
        kitchen.check_unseen(model, i + 1)?;
    }
    let mut alone = Vec::with_capacity(models.len());
    for (i, model) in models.iter().enumerate() {
        alone.push(kitchen.score(&weights(model))?);
        tell(&format!(
            "model {}: macro F1 {:.4} on the validation side",
            i + 1,
            alone[i]
        ));
    }
    let mut order: Vec<usize> = (0..models.len()).collect();
    order.sort_by(|a, b| alone[*b].total_cmp(&alone[*a]));
    let mean = |used: &[usize]| {
        let of: Vec<Tensors> = used.iter().map(|i| weights(&models[*i])).collect();
        kitchen.settled(average(&of)?)
    };
    let (used, tensors, together) = if greedy {
        let mut used = vec![order[0]];
        let mut best = (weights(&models[order[0]]), alone[order[0]]);
        for next in &order[1..] {
            let mut with: Vec<usize> = used.clone();
            with.push(*next);
            let tensors = mean(&with)?;
            let score = kitchen.score(&tensors)?;
            let better = score >= best.1;
            let word = if better { "kept" } else { "left out" };
            tell(&format!(
                "with model {}: macro F1 {score:.4}, {word}",
                next + 1
            ));
            if better {
                (used, best) = (with, (tensors, score));
            }
        }
        (used, best.0, best.1)
    } else {
        let tensors = mean(&order)?;
        let score = kitchen.score(&tensors)?;
        (order, tensors, score)
    };
    let training = json!({
        "soup": { "models": used.len(), "of": models.len(), "greedy": greedy },
        "valid": { "macro_f1": together },
        "first": models[used[0]].description.training,
    });
    let mut description = Description::new(spec.clone(), training)?;
    // That of the best; offsets were tuned to it.
    description.decision = models[used[0]].description.decision.clone();
    description.dtype = WeightDType::F32;
    // Whoever any of them has seen.
    for seen in used.iter().flat_map(|i| &models[*i].description.seen) {
        if !description.seen.contains(seen) {
            description.seen.push(seen.clone());
        }
    }
    Ok(Soup {
        file: ModelFile {
            description,
            tensors,
        },
        used,
        alone,
        together,
    })
}

fn few(found: usize) -> Error {
    Error::Invalid {
        what: "models to average".into(),
        expected: "at least two".into(),
        found: found.to_string(),
    }
}

/// What of a model is averaged: all but the statistics of novelty and the scales of its maps, which are of its own features.
fn weights(model: &ModelFile) -> Tensors {
    let all = model.tensors.iter();
    let weights = all.filter(|(name, _)| !name.starts_with("novelty.") && !is_of_activations(name));
    weights.map(|(name, t)| (name.clone(), t.clone())).collect()
}

/// The mean of tensors of the same names and shapes.
fn average(models: &[Tensors]) -> Result<Tensors> {
    let share = 1.0 / models.len() as f64;
    let Some((first, others)) = models.split_first() else {
        return Err(few(0));
    };
    let mean = |(name, tensor): (&String, &Tensor)| {
        let mut sum = tensor.to_dtype(candle_core::DType::F64)?;
        for other in others {
            sum = (sum + other[name].to_dtype(candle_core::DType::F64)?)?;
        }
        Ok((name.clone(), (sum * share)?.to_dtype(tensor.dtype())?))
    };
    first.iter().map(mean).collect()
}

/// What averages are made and tasted with.
struct Kitchen<'a> {
    network: Network<'a>,
    batches: Batches<'a>,
    tasks: Rc<Tasks>,
    dataset: &'a Dataset,
    description: Description,
    valid: Vec<usize>,
    loading: LoaderConfig,
}

impl<'a> Kitchen<'a> {
    fn new(config: &'a Config, first: &ModelFile, dataset: &'a Dataset) -> Result<Self> {
        let spec = &first.description.model;
        let tasks = Rc::new(Tasks::new(spec)?);
        let valid = dataset.indices(Split::Valid);
        if valid.is_empty() {
            let reason = "averages are compared on it";
            return Err(empty_split(dataset, Split::Valid, reason));
        }
        let batches = Batches::new(&config.train, spec, Rc::clone(&tasks), dataset)?;
        let (given, steps) = (weights(first), batches.steps());
        Ok(Self {
            network: Network::new(config, spec.clone(), given, config.train.epochs, steps)?,
            batches,
            tasks,
            dataset,
            description: first.description.clone(),
            valid,
            loading: LoaderConfig::new(config.train.queue_mib),
        })
    }

    /// Refuses a model that has learnt from photos of the validation side: it would be chosen for knowing them.
    fn check_unseen(&self, model: &ModelFile, number: usize) -> Result<()> {
        let known = Known::new(&model.description.seen)?;
        let contents = contents(self.dataset, &AtomicBool::new(false), &|_, _| ());
        let contents = contents.unwrap_or_default();
        let learnt = |i: &&usize| {
            let content = contents.get(**i).and_then(Option::as_ref);
            content.is_some_and(|content| known.photo_was_on(content, Split::Train))
        };
        let seen = self.valid.iter().filter(learnt).count();
        if seen == 0 {
            return Ok(());
        }
        Err(Error::Invalid {
            what: format!("model {number} to average"),
            expected: "one that has not learnt from the validation side of the first: runs with the same train.seed, or sides given in the data".into(),
            found: format!("one that has learnt from {seen} of its {} photos", self.valid.len()),
        })
    }

    /// Averaged weights with the statistics that go with them.
    fn settled(&self, averaged: Tensors) -> Result<Tensors> {
        let last = self.network.config.train.epochs.saturating_sub(1);
        with_new_statistics(&self.network, &self.batches, last, averaged)
    }

    /// Macro F1 of the final class on the validation side, of models without one the mean over their heads.
    fn score(&self, tensors: &Tensors) -> Result<f64> {
        let mut description = self.description.clone();
        description.novelty = None;
        description.activations = None;
        let file = ModelFile {
            description,
            tensors: tensors.clone(),
        };
        let (model, input) = (file.build()?, &file.description.model.input);
        let (dataset, valid) = (self.dataset, &self.valid);
        let features = features(&model, input, dataset, valid, self.loading, &mut |_| ())?;
        let logits = logits(&model, &features)?;
        let decision = &file.description.decision;
        let report = counts(&self.tasks.taxonomy, decision, dataset, valid, &logits)?;
        if report.class.photos > 0 {
            return Ok(report.class.macro_f1);
        }
        let of_heads = report.heads.iter().filter(|h| h.photos > 0);
        let of_heads: Vec<f64> = of_heads.map(|h| h.macro_f1).collect();
        if of_heads.is_empty() {
            let reason = "averages are compared on its labels";
            return Err(empty_split(dataset, Split::Valid, reason));
        }
        Ok(of_heads.iter().sum::<f64>() / of_heads.len() as f64)
    }
}
