//! The final classes as nodes: their probabilities, and which it is.

use super::graph::Attribute::Int;
use super::graph::Graph;
use super::heads::padded;
use crate::error::{Error, Result};
use crate::model::Outputs;
use crate::model::combine::{Decision, DecisionRule};
use crate::model::distance::apart;
use crate::taxonomy::Taxonomy;

/// The log-probabilities `(batch, num_classes)`, as [`Decision::log_probs`], from the names of those of each head's labels and,
/// by the joint head, of the classes.
pub(crate) fn log_probs(
    graph: &mut Graph,
    taxonomy: &Taxonomy,
    decision: &Decision,
    log_probs: &Outputs<String>,
) -> Result<String> {
    let mut all = product(graph, taxonomy, &log_probs.heads)?;
    let joint = log_probs.joint.as_deref();
    let share = joint.map_or(0.0, |_| decision.joint_share);
    if let Some(joint) = joint.filter(|_| share > 0.0) {
        let share = graph.number(share as f32);
        let rest = graph.number((1.0 - decision.joint_share) as f32);
        let joint = graph.node("Mul", &[joint, &share], &[]);
        all = graph.node("Mul", &[&all, &rest], &[]);
        all = graph.node("Add", &[&all, &joint], &[]);
    }
    if !decision.log_prior.is_empty() {
        all = moved(graph, &all, &decision.log_prior);
    }
    if decision.temperature != 1.0 {
        let inverse = graph.number((1.0 / decision.temperature) as f32);
        all = graph.node("Mul", &[&all, &inverse], &[]);
    }
    if share > 0.0 || !decision.log_prior.is_empty() || decision.temperature != 1.0 {
        Ok(normalised(graph, &all))
    } else {
        Ok(all)
    }
}

/// The final class `(batch)`, as [`Decision::decide`], under the name `output`.
///
/// # Errors
/// [`Error::Invalid`] if the tables of distances would be too large.
pub(crate) fn decide(
    graph: &mut Graph,
    taxonomy: &Taxonomy,
    decision: &Decision,
    log_probs: &str,
    output: &str,
) -> Result<()> {
    if decision.rule == DecisionRule::LeastDistance {
        return least_distance(graph, taxonomy, log_probs, output);
    }
    let mut all = log_probs.to_string();
    if !decision.offsets.is_empty() {
        all = moved(graph, &all, &decision.offsets);
    }
    let attributes = [("axis", Int(1)), ("keepdims", Int(0))];
    graph.named("ArgMax", &[&all], &[output], &attributes);
    Ok(())
}

/// Values that a table of distances has at most.
const MAX_TABLE: usize = 1 << 26;

/// As `model/distance.rs` has it: the distance that is expected of each label of each head, and of the head not to apply, and the
/// sum of those of each class.
fn least_distance(
    graph: &mut Graph,
    taxonomy: &Taxonomy,
    log_probs: &str,
    output: &str,
) -> Result<()> {
    let leaves = taxonomy.leaves();
    let heads = taxonomy.heads().len();
    let slots = |head: usize| (0..taxonomy.labels(head).len()).map(Some).chain([None]);
    let width: usize = (0..heads).map(|head| slots(head).count()).sum();
    if leaves.len().saturating_mul(width) > MAX_TABLE {
        return Err(Error::Invalid {
            what: "the decision `least_distance` in an export to ONNX".into(),
            expected: format!("a table of at most {MAX_TABLE} distances"),
            found: format!("{} final classes by {width} labels", leaves.len()),
        });
    }
    let mut table = Vec::with_capacity(leaves.len() * width);
    for leaf in &leaves {
        for (head, own) in leaf.iter().enumerate() {
            let groups = taxonomy.groups(head);
            table.extend(slots(head).map(|slot| apart(groups, *own, slot) as f32));
        }
    }
    let mut places = Vec::with_capacity(heads * leaves.len());
    let mut first = 0;
    for head in 0..heads {
        let labels = taxonomy.labels(head).len();
        let place = |leaf: &Vec<Option<usize>>| (first + leaf[head].unwrap_or(labels)) as i64;
        places.extend(leaves.iter().map(place));
        first += labels + 1;
    }
    let probs = graph.node("Exp", &[log_probs], &[]);
    let table = graph.floats(&[leaves.len(), width], &table);
    let expected = graph.node("MatMul", &[&probs, &table], &[]);
    let places = graph.table(&[heads, leaves.len()], &places);
    let of_classes = graph.node("Gather", &[&expected, &places], &[("axis", Int(1))]);
    let axis = graph.ints(&[1]);
    let sum = graph.node("ReduceSum", &[&of_classes, &axis], &[("keepdims", Int(0))]);
    let attributes = [("axis", Int(1)), ("keepdims", Int(0))];
    graph.named("ArgMin", &[&sum], &[output], &attributes);
    Ok(())
}

/// Something added to each class.
fn moved(graph: &mut Graph, x: &str, by: &[f64]) -> String {
    let by: Vec<f32> = by.iter().map(|v| *v as f32).collect();
    let by = graph.floats(&[by.len()], &by);
    graph.node("Add", &[x, &by], &[])
}

/// x − log Σ exp x.
fn normalised(graph: &mut Graph, x: &str) -> String {
    graph.node("LogSoftmax", &[x], &[("axis", Int(-1))])
}

/// As [`joint_log_probs`](crate::model::combine::joint_log_probs): of each class the places of its labels among those of all
/// heads, and their sum.
fn product(graph: &mut Graph, taxonomy: &Taxonomy, heads: &[String]) -> Result<String> {
    let classes = taxonomy.leaves();
    let all: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut all = graph.node("Concat", &all, &[("axis", Int(1))]);
    let labels: Vec<usize> = (0..heads.len()).map(|i| taxonomy.labels(i).len()).collect();
    // A head that does not apply has the 0 behind all labels.
    let none: usize = labels.iter().sum();
    if classes.iter().flatten().any(Option::is_none) {
        all = padded(graph, &all, 0, 1);
    }
    let mut first = 0;
    let mut places = Vec::with_capacity(heads.len() * classes.len());
    for (head, labels) in labels.into_iter().enumerate() {
        let place = |label: Option<usize>| label.map_or(none, |label| first + label) as i64;
        places.extend(classes.iter().map(|class| place(class[head])));
        first += labels;
    }
    let places = graph.table(&[heads.len(), classes.len()], &places);
    let of_classes = graph.node("Gather", &[&all, &places], &[("axis", Int(1))]);
    let axis = graph.ints(&[1]);
    let sum = graph.node("ReduceSum", &[&of_classes, &axis], &[("keepdims", Int(0))]);
    if taxonomy.has_impossible() {
        Ok(normalised(graph, &sum))
    } else {
        Ok(sum)
    }
}
