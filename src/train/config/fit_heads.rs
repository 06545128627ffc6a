//! A model's heads as the first values of another's: by the names of heads and labels, never by their places.

use crate::error::{Error, Remedy, Result};
use crate::head::{HeadSpec, LabelSpec, LossKind};
use crate::model::ModelSpec;
use crate::model_file::Tensors;
use candle_core::Tensor;
use std::collections::BTreeMap;

/// Brings the heads of a file's model into the order of labels that `wanted` has them in, the joint head's classes too; heads
/// that only one of both has are left alone.
///
/// # Errors
/// [`Error::Refused`] naming head, file and both lists where labels, borders or the meaning of the outputs differ;
/// [`Error::Invalid`] where the final classes of a joint head do.
pub(super) fn fit(
    tensors: &mut Tensors,
    given: &ModelSpec,
    wanted: &ModelSpec,
    origin: &str,
) -> Result<()> {
    for head in &wanted.heads {
        if let Some(own) = given.heads.iter().find(|h| h.name == head.name) {
            let order = order_of_head(own, head, origin)?;
            check_inputs((own, given), (head, wanted), origin)?;
            reorder(tensors, &format!("heads.{}", head.name), &order)?;
        }
    }
    if given.joint.is_some() && wanted.joint.is_some() {
        let (own, new) = (classes(given)?, classes(wanted)?);
        let order = places(&own, &new).ok_or_else(|| {
            let list = |of: &ModelSpec| -> Result<String> {
                Ok(words(&of.taxonomy()?.class_names()))
            };
            Error::Invalid {
                what: format!("the joint head in {origin}, taken by model.weights"),
                expected: format!(
                    "the final classes of this run, {}; or take `joint` out of one of the two models",
                    list(wanted).unwrap_or_default()
                ),
                found: list(given).unwrap_or_default(),
            }
        })?;
        reorder(tensors, "joint", &order)?;
    }
    Ok(())
}

/// Refuses a head that would see something else in the places of what it has learnt by.
fn check_inputs(
    (own, given): (&HeadSpec, &ModelSpec),
    (head, wanted): (&HeadSpec, &ModelSpec),
    origin: &str,
) -> Result<()> {
    let labels = |of: &ModelSpec, name: &str| {
        let head = of.heads.iter().find(|h| h.name == name);
        head.map_or_else(Vec::new, |h| h.labels.names.clone())
    };
    let words = |head: &HeadSpec, of: &ModelSpec| {
        let after = head.layers.after.iter();
        let after: Vec<String> = after
            .map(|name| format!("`{name}` with {}", words(&labels(of, name))))
            .collect();
        format!(
            "pool {}, from_stage {:?}, after [{}], own_stages {}, crop {:?}",
            format!("{:?}", head.layers.pool).to_lowercase(),
            head.layers.from_stage,
            after.join("; "),
            head.layers.own_stages,
            head.layers.crop.unwrap_or([0.0, 0.0, 1.0, 1.0])
        )
    };
    let (found, expected) = (words(own, given), words(head, wanted));
    if found == expected {
        return Ok(());
    }
    Err(Error::Refused {
        what: format!(
            "what head `{}` in {origin}, taken by model.weights, reads",
            head.name
        ),
        expected: format!(
            "{expected}, as in this run; a head of another name in a copy of the file is not taken, and the run's then starts afresh"
        ),
        found,
        remedy: Remedy::RenameHead,
    })
}

/// For each of a head's labels its place in the file; nothing where the rows stay as they are.
fn order_of_head(own: &HeadSpec, head: &HeadSpec, origin: &str) -> Result<Vec<u32>> {
    let refuse = |what: &str, expected: String, found: String| {
        Err(Error::Refused {
            what: format!(
                "{what} of head `{}` in {origin}, taken by model.weights",
                head.name
            ),
            expected: format!(
                "{expected}, as in this run; a head of another name in a copy of the file is not taken, and the run's then starts afresh"
            ),
            found,
            remedy: Remedy::RenameHead,
        })
    };
    let layout = |head: &HeadSpec| match (&head.labels.number, &head.loss.kind) {
        (Some(n), _) => format!(
            "one a bin, {} from {} to {}",
            n.bins, n.range[0], n.range[1]
        ),
        _ if head.is_multi_label() => "one a label, of several at once".into(),
        (_, LossKind::Coral) => "one a border, with one vector of weights (coral)".into(),
        (_, LossKind::Corn) => "one a border, of labels that reach it (corn)".into(),
        _ => "one a label".into(),
    };
    if layout(own) != layout(head) {
        return refuse("the outputs", layout(head), layout(own));
    }
    if head.labels.number.is_some() {
        // Whatever the labels are called and where their borders are: the bins are the same.
        return Ok(Vec::new());
    }
    let Some(order) = places(&own.labels.names, &head.labels.names) else {
        return refuse(
            "the labels",
            words(&head.labels.names),
            words(&own.labels.names),
        );
    };
    let same = order.iter().copied().eq(0..own.labels.names.len() as u32);
    if !same && head.loss.kind.is_cumulative() {
        let expected = format!(
            "{}, for each output is a border between two of them",
            words(&head.labels.names)
        );
        return refuse(
            "the order of the labels",
            expected,
            words(&own.labels.names),
        );
    }
    let (own, wanted) = (&own.labels, &head.labels);
    let both = !own.thresholds.is_empty() && !wanted.thresholds.is_empty();
    if both && (!same || own.thresholds != wanted.thresholds) {
        let borders = |l: &LabelSpec| format!("{:?} between {}", l.thresholds, words(&l.names));
        return refuse("the thresholds", borders(wanted), borders(own));
    }
    Ok(order)
}

/// The final classes, each as the label of every head that applies.
fn classes(spec: &ModelSpec) -> Result<Vec<BTreeMap<String, String>>> {
    let taxonomy = spec.taxonomy()?;
    let class = |leaf: Vec<Option<usize>>| {
        let labels = leaf.into_iter().enumerate();
        let named = labels.filter_map(|(head, label)| {
            let label = taxonomy.labels(head)[label?].clone();
            Some((taxonomy.heads()[head].clone(), label))
        });
        named.collect()
    };
    Ok(taxonomy.leaves().into_iter().map(class).collect())
}

/// The place among `given` of each of `wanted`; `None` if they are not the same ones.
fn places<T: Ord>(given: &[T], wanted: &[T]) -> Option<Vec<u32>> {
    let at: BTreeMap<&T, u32> = given.iter().zip(0..).collect();
    let found: Vec<u32> = wanted.iter().filter_map(|w| at.get(w).copied()).collect();
    (found.len() == wanted.len() && wanted.len() == given.len()).then_some(found)
}

/// The rows of a last layer in another order. What has another number of rows is found where the model is built.
fn reorder(tensors: &mut Tensors, prefix: &str, order: &[u32]) -> Result<()> {
    if order.iter().copied().eq(0..order.len() as u32) {
        return Ok(());
    }
    for part in ["weight", "bias"] {
        let Some(tensor) = tensors.get_mut(&format!("{prefix}.fc.{part}")) else {
            continue;
        };
        if tensor.dims().first() == Some(&order.len()) {
            let order = Tensor::new(order, tensor.device())?;
            *tensor = tensor.index_select(&order, 0)?;
        }
    }
    Ok(())
}

/// Names in quotes, of many the first ones.
fn words(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(20).map(|n| format!("`{n}`")).collect();
    match names.len() {
        n if n > 20 => format!("{} and {} more", shown.join(", "), n - 20),
        _ => shown.join(", "),
    }
}
