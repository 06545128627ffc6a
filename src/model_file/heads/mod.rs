//! Heads of a trained model replaced, added, removed, renamed, reset, taken from another model, taken out, attached or merged.
//!
//! Every operation takes a [`ModelFile`] and gives a new one. The backbone and the untouched heads keep their tensors bit for
//! bit; the final classes follow from the new heads; what was done is appended to the list `surgery` of the training metadata.
//!
//! ```no_run
//! use hydranet::{ModelFile, heads};
//! let file = ModelFile::read("best.safetensors")?;
//! let file = heads::rename(&file, "gender", "sex")?;
//! heads::remove(&file, "age")?.write("two_heads.safetensors")?;
//! # Ok::<(), hydranet::Error>(())
//! ```

pub(super) mod apart;
mod edit;

pub(crate) use apart::without_backbone;
pub use apart::{HeadsFile, heads_only};
pub use edit::NewTensors;

use super::file::ModelFile;
use crate::error::{Error, Remedy, Result};
use crate::head::HeadSpec;
use crate::tensors::Tensors;
use apart::names;
use candle_core::{DType, Tensor};
use edit::{Edit, prefix};
use serde_json::json;

/// Where a grafted head goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A new head after the others.
    #[default]
    Last,
    /// A new head at this place; the heads from there on move back by one.
    At(usize),
    /// The place of this head, which is dropped.
    Replacing(String),
}

/// How a head is taken from another model.
#[derive(Clone, Debug, Default)]
pub struct Graft {
    /// Its name in the new model; none: the name it has.
    pub rename: Option<String>,
    /// Where it goes.
    pub place: Place,
    /// Take it even if the two models' backbone tensors or inputs differ, so that it sees other features than those it was
    /// trained on. Right only if it will be trained again.
    pub allow_other_backbone: bool,
}

/// Puts a head of `spec` in the place of head `name`. The new head may have another name and other labels.
///
/// # Errors
/// [`Error::UnknownName`] if there is no such head, [`Error::Invalid`] if `spec` is not valid or its name is another head's,
/// [`Error::Checkpoint`] if given tensors do not fit.
pub fn replace(
    file: &ModelFile,
    name: &str,
    spec: HeadSpec,
    tensors: NewTensors,
) -> Result<ModelFile> {
    let done =
        json!({"operation": "replace", "head": name, "by": spec.name, "tensors": origin(&tensors)});
    let place = file.description.model.head_index(name)?;
    let mut heads = file.description.model.heads.clone();
    heads[place] = spec.clone();
    Edit::new(file, heads, done)?
        .without(name)
        .with(&spec, tensors)?
        .untuned()
        .finish()
}

/// Adds a head of `spec` at place `at`, or after the others. The place decides its digit of the final class.
///
/// # Errors
/// [`Error::OutOfRange`] if there is no such place, [`Error::Invalid`] if `spec` is not valid or its name is another head's,
/// [`Error::Checkpoint`] if given tensors do not fit.
pub fn add(
    file: &ModelFile,
    spec: HeadSpec,
    at: Option<usize>,
    tensors: NewTensors,
) -> Result<ModelFile> {
    let mut heads = file.description.model.heads.clone();
    let at = at.unwrap_or(heads.len());
    if at > heads.len() {
        return Err(Error::OutOfRange {
            what: format!("place of the new head `{}`", spec.name),
            limit: heads.len() + 1,
            found: at,
        });
    }
    let done =
        json!({"operation": "add", "head": spec.name, "at": at, "tensors": origin(&tensors)});
    heads.insert(at, spec.clone());
    Edit::new(file, heads, done)?.with(&spec, tensors)?.finish()
}

/// Removes head `name`.
///
/// # Errors
/// [`Error::UnknownName`] if there is no such head, [`Error::Invalid`] if it is the only one.
pub fn remove(file: &ModelFile, name: &str) -> Result<ModelFile> {
    let place = file.description.model.head_index(name)?;
    let mut heads = file.description.model.heads.clone();
    heads.remove(place);
    if heads.is_empty() {
        return Err(Error::Invalid {
            what: format!("removing head `{name}`"),
            expected: "another head that remains".into(),
            found: "the model's only head".into(),
        });
    }
    let done = json!({"operation": "remove", "head": name});
    Edit::new(file, heads, done)?.without(name).finish()
}

/// Renames head `from` to `to`. Its label is still read from the same column.
///
/// # Errors
/// [`Error::UnknownName`] if there is no such head, [`Error::Invalid`] if `to` is taken or not a name.
pub fn rename(file: &ModelFile, from: &str, to: &str) -> Result<ModelFile> {
    let place = file.description.model.head_index(from)?;
    let mut heads = file.description.model.heads.clone();
    if heads.iter().any(|h| h.name == to) {
        return Err(Error::Invalid {
            what: format!("new name of head `{from}`"),
            expected: "a name no head has".into(),
            found: format!("`{to}`"),
        });
    }
    heads[place] = renamed(&heads[place], to);
    for after in heads.iter_mut().flat_map(|h| &mut h.layers.after) {
        if after == from {
            *after = to.into();
        }
    }
    let mut file = file.clone();
    let conditions = heads.iter_mut().map(|h| &mut h.labels.when);
    for labels in conditions.chain(&mut file.description.model.impossible) {
        if let Some(of) = labels.remove(from) {
            labels.insert(to.into(), of);
        }
    }
    let file = &file;
    let spec = heads[place].clone();
    let done = json!({"operation": "rename", "head": from, "to": to});
    Edit::new(file, heads, done)?
        .without(from)
        .with(&spec, NewTensors::Given(head_tensors(file, from)?))?
        .finish()
}

/// Moves the borders between the labels of head `name`, which predicts a number
/// ([`LabelSpec::number`](crate::LabelSpec::number)): it is trained no more for that, since the probability of a label is the
/// sum of what its bins have.
///
/// A joint head and a decision that were for the labels before are taken out.
///
/// Of a head of several labels at once ([`LabelSpec::multi_label`](crate::LabelSpec::multi_label)) they are the probabilities
/// from which on each label is said, one a label; none: 0.5 each.
///
/// ```no_run
/// use hydranet::{ModelFile, heads};
/// let file = ModelFile::read("best.safetensors")?;
/// heads::set_thresholds(&file, "age", &[30.0, 58.0])?.write("58.safetensors")?;
/// # Ok::<(), hydranet::Error>(())
/// ```
///
/// # Errors
/// [`Error::UnknownName`] if there is no such head, [`Error::Invalid`] if it neither predicts a number nor is of several labels
/// at once, or if the borders are not as many as before, ascending and inside of its range, or the probabilities not one a label.
pub fn set_thresholds(file: &ModelFile, name: &str, thresholds: &[f64]) -> Result<ModelFile> {
    let place = file.description.model.head_index(name)?;
    let mut heads = file.description.model.heads.clone();
    let labels = &mut heads[place].labels;
    let done = json!({"operation": "set_thresholds", "head": name, "thresholds": thresholds});
    if let Some(several) = &mut labels.multi_label {
        several.thresholds = thresholds.to_vec();
        return Edit::new(file, heads, done)?.finish();
    }
    if labels.number.is_none() {
        return Err(Error::Invalid {
            what: format!("moving the thresholds of head `{name}`"),
            expected: "a head that predicts a number (`kind = \"number\"`), whose bins tell labels between any \
                       borders, or one of several labels at once (`kind = \"multi_label\"`)"
                .into(),
            found: "one that has learnt its labels as they are".into(),
        });
    }
    labels.thresholds = thresholds.to_vec();
    // A soft border is as wide as the new ones leave room for.
    let gaps = thresholds.windows(2).map(|w| w[1] - w[0]);
    labels.soft_width = gaps.fold(labels.soft_width, f64::min).max(0.0);
    Edit::new(file, heads, done)?.finish()
}

/// Gives head `name` fresh tensors, drawn from `seed`.
///
/// # Errors
/// [`Error::UnknownName`] if there is no such head.
pub fn reset(file: &ModelFile, name: &str, seed: u64) -> Result<ModelFile> {
    let heads = file.description.model.heads.clone();
    let spec = heads[file.description.model.head_index(name)?].clone();
    let fresh = NewTensors::Fresh { seed };
    let done = json!({"operation": "reset", "head": name, "tensors": origin(&fresh)});
    Edit::new(file, heads, done)?
        .without(name)
        .with(&spec, fresh)?
        .untuned()
        .finish()
}

/// Takes head `name`, specification and tensors, from the model `from`.
///
/// # Errors
/// [`Error::UnknownName`] if a head named is not there; [`Error::Invalid`] if the backbones are of different architectures, if
/// their tensors or inputs differ and `how` does not allow it, if a head that it comes after is missing or another one, or if the
/// name is taken; [`Error::OutOfRange`] if there is no such place.
pub fn graft(file: &ModelFile, from: &ModelFile, name: &str, how: &Graft) -> Result<ModelFile> {
    let theirs = &from.description.model;
    let spec = &theirs.heads[theirs.head_index(name)?];
    check_backbone((file, from), name, how.allow_other_backbone)?;
    if !how.allow_other_backbone {
        check_before((file, from), spec)?;
    }
    let spec = match &how.rename {
        Some(to) if *to != spec.name => renamed(spec, to),
        _ => spec.clone(),
    };
    let given = NewTensors::Given(head_tensors(from, name)?);
    let mut grafted = match &how.place {
        Place::Last => add(file, spec, None, given)?,
        Place::At(at) => add(file, spec, Some(*at), given)?,
        Place::Replacing(old) => replace(file, old, spec, given)?,
    };
    grafted.description.seen = file.description.records_with(&from.description);
    let last = grafted.description.training["surgery"]
        .as_array_mut()
        .and_then(|list| list.last_mut());
    if let Some(entry) = last {
        entry["tensors"] = json!(format!("head `{name}` of another model"));
    }
    Ok(grafted)
}

/// One model with the heads of several that were trained on the same frozen backbone, which it runs once: those of the first,
/// then those of each other in order. Each head's outputs stay the same to the last bit. A joint head and a decision of one of
/// them do not survive, for the final classes are others; combinations that any of them declares impossible stay so.
///
/// # Errors
/// [`Error::Invalid`] if there is none, or backbones or inputs differ; [`Error::Refused`] if two heads have the same name.
pub fn merge(models: &[ModelFile]) -> Result<ModelFile> {
    let Some((first, others)) = models.split_first() else {
        return Err(Error::Invalid {
            what: "models to merge".into(),
            expected: "at least one".into(),
            found: "none".into(),
        });
    };
    let mut merged = first.clone();
    for (place, other) in others.iter().enumerate() {
        let new = &other.description.model.heads;
        if let Some(tensor) = first_difference(&merged, other, "activations.")? {
            return Err(Error::Invalid {
                what: format!("the backbone of model {}", place + 2),
                expected: "one that computes in int8 as that of the first, or in f32 as that"
                    .into(),
                found: format!("another `{tensor}`; calibrate the merged model instead"),
            });
        }
        for head in new {
            check_backbone((&merged, other), &head.name, false)?;
            if merged.description.model.head_index(&head.name).is_ok() {
                return Err(Error::Refused {
                    what: format!("head `{}` of model {}", head.name, place + 2),
                    expected: "a name that no head before it has; rename it first".into(),
                    found: format!("the heads {}", names(&merged.description.model)),
                    remedy: Remedy::RenameHead,
                });
            }
        }
        // All at once: a head may apply under another, or see it, wherever that stands.
        let all = merged.description.model.heads.iter().chain(new).cloned();
        let done = json!({
            "operation": "merge",
            "heads": new.iter().map(|h| h.name.as_str()).collect::<Vec<_>>(),
            "tensors": "of another model",
        });
        let mut edit = Edit::new(&merged, all.collect(), done)?;
        for head in new {
            let given = NewTensors::Given(head_tensors(other, &head.name)?);
            edit = edit.with(head, given)?;
        }
        let seen = merged.description.records_with(&other.description);
        merged = edit.finish()?;
        merged.description.seen = seen;
        let impossible = &other.description.model.impossible;
        if !impossible.is_empty() {
            merged
                .description
                .model
                .impossible
                .extend(impossible.iter().cloned());
            merged.description.classes = merged.description.model.taxonomy()?.class_names();
        }
    }
    merged.description.model.validate()?;
    Ok(merged)
}

/// Refuses another backbone than the one that head `name` of `from` was trained on; of the same architecture it may be another
/// where that is allowed.
fn check_backbone(
    (file, from): (&ModelFile, &ModelFile),
    name: &str,
    allow_other: bool,
) -> Result<()> {
    let (ours, theirs) = (&file.description.model, &from.description.model);
    let refuse = |expected: String, found: String| {
        Err(Error::Invalid {
            what: format!("the backbone head `{name}` was trained on"),
            expected,
            found,
        })
    };
    let features = |m: &crate::ModelSpec| (m.backbone, m.backbone.num_features());
    if features(ours) != features(theirs) {
        let words = |(name, width)| format!("{name} with {width} features");
        return refuse(words(features(ours)), words(features(theirs)));
    }
    if !allow_other {
        let found = match first_difference(file, from, "backbone.")? {
            Some(tensor) => format!("another `{tensor}`"),
            None if ours.input != theirs.input => "another input (size, crop …)".into(),
            None => String::new(),
        };
        if !found.is_empty() {
            let expected = "this model's, bit for bit, since on other features the head predicts nonsense (`allow_other_backbone` takes it all the same, to be trained again)";
            return refuse(expected.into(), found);
        }
    }
    Ok(())
}

/// Refuses a head that comes after heads which this model has not, or has others of.
fn check_before((file, from): (&ModelFile, &ModelFile), spec: &HeadSpec) -> Result<()> {
    let named = |of: &ModelFile, name: &str| {
        let heads = &of.description.model.heads;
        heads.iter().find(|h| h.name == name).cloned()
    };
    let meaning = |h: &HeadSpec| {
        let (of, loss) = (h.labels.clone(), h.loss.kind.clone());
        (of.names, of.thresholds, of.number, loss, h.layers.clone())
    };
    for name in &spec.layers.after {
        let refuse = |found: String| {
            Err(Error::Invalid {
                what: format!("head `{}`, after", spec.name),
                expected: format!("the head `{name}` that it has learnt behind, bit for bit"),
                found,
            })
        };
        let (Some(ours), Some(theirs)) = (named(file, name), named(from, name)) else {
            return refuse("none of that name in this model".into());
        };
        if meaning(&ours) != meaning(&theirs) {
            return refuse("one of other labels, another loss or other layers".into());
        }
        check_before((file, from), &theirs)?;
        let prefix = prefix(name);
        if let Some(tensor) = first_difference(file, from, &prefix)? {
            return refuse(format!("another `{tensor}`"));
        }
    }
    Ok(())
}

/// The tensors of head `name` by their names within the head: `fc.weight`, `fc.bias` …
///
/// [`to_bytes`](crate::model_file::to_bytes) makes them a file to put beside `heads/<name>.toml`,
/// [`read_tensors`](crate::model_file::read_tensors) reads it.
///
/// # Errors
/// [`Error::UnknownName`] if there is no such head.
pub(crate) fn head_tensors(file: &ModelFile, name: &str) -> Result<Tensors> {
    file.description.model.head_index(name)?;
    let prefix = prefix(name);
    let own = |(key, t): (&String, &Tensor)| Some((key.strip_prefix(&prefix)?.into(), t.clone()));
    Ok(file.tensors.iter().filter_map(own).collect())
}

fn origin(tensors: &NewTensors) -> String {
    match tensors {
        NewTensors::Fresh { seed } => format!("fresh, seed {seed}"),
        NewTensors::Given(_) => "given".into(),
    }
}

/// The head under another name, its label still read from the same column.
fn renamed(spec: &HeadSpec, to: &str) -> HeadSpec {
    let mut renamed = spec.clone();
    renamed.name = to.into();
    renamed.labels.column = Some(spec.column().into());
    renamed
}

/// The first tensor of a prefix, in order of name, that is not bit for bit the same in both.
fn first_difference(a: &ModelFile, b: &ModelFile, prefix: &str) -> Result<Option<String>> {
    let bits = |t: &Tensor| -> Result<Vec<u32>> {
        let values: Vec<f32> = t.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        Ok(values.into_iter().map(f32::to_bits).collect())
    };
    let of_prefix = |name: &&String| name.starts_with(prefix);
    let more = b.tensors.keys().filter(|n| !a.tensors.contains_key(*n));
    for name in a.tensors.keys().chain(more).filter(of_prefix) {
        let same = match (a.tensors.get(name), b.tensors.get(name)) {
            (Some(x), Some(y)) => x.id() == y.id() || x.dims() == y.dims() && bits(x)? == bits(y)?,
            _ => false,
        };
        if !same {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}
