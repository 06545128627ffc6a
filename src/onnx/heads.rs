//! Heads as nodes.

use super::graph::Attribute::{Int, Ints};
use super::graph::Graph;
use crate::error::Result;
use crate::head::{Head, HeadSpec, LEAST, LossKind, NumberSpec};
use crate::taxonomy::Groups;
use candle_core::Tensor;

/// What is known of a head: names of nodes.
#[derive(Clone)]
pub(crate) struct Written {
    /// The log-probabilities `(batch, num_labels)` of its labels; of several at once their logits, which no final class is of.
    pub labels: String,
    /// The operator that makes probabilities of them.
    pub probs: &'static str,
    /// Where it predicts a number, the probabilities `(batch, bins)` of its bins.
    pub bins: Option<String>,
}

/// A head over what it reads, `(batch, inputs)`; its tensors' names start with `prefix`.
pub(crate) fn write(
    graph: &mut Graph,
    features: &str,
    (spec, prefix): (&HeadSpec, &str),
    head: &Head,
) -> Result<Written> {
    let mut x = features.to_string();
    for (i, [weight, bias]) in head.linears()?.iter().enumerate() {
        let layer = if spec.layers.hidden > 0 && i == 0 {
            "hidden"
        } else {
            "fc"
        };
        if i > 0 {
            x = graph.node("Relu", &[&x], &[]);
        }
        x = linear(graph, &x, &format!("{prefix}.{layer}"), weight, bias)?;
    }
    if let Some(sums) = spec.sums() {
        let bins = graph.node("Softmax", &[&x], &[("axis", Int(-1))]);
        let shares: Vec<f32> = sums.shares().into_iter().map(|s| s as f32).collect();
        let shares = graph.floats(&[spec.num_scores(), spec.num_labels()], &shares);
        let labels = graph.node("MatMul", &[&bins, &shares], &[]);
        let labels = graph.node("Log", &[&labels], &[]);
        let labels = bounded(graph, &labels);
        // As of all others: what the bound has raised is made to sum to 1.
        let labels = graph.node("LogSoftmax", &[&labels], &[("axis", Int(-1))]);
        let bins = Some(bins);
        return Ok(Written {
            labels,
            probs: "Exp",
            bins,
        });
    }
    if spec.is_multi_label() {
        return Ok(Written {
            labels: x,
            probs: "Sigmoid",
            bins: None,
        });
    }
    let logits = match spec.loss.kind {
        LossKind::Coral => coral(graph, &x, spec.num_labels() - 1),
        LossKind::Corn => corn(graph, &x, spec.num_labels() - 1),
        _ => x,
    };
    let labels = graph.node("LogSoftmax", &[&logits], &[("axis", Int(-1))]);
    Ok(Written {
        labels,
        probs: "Exp",
        bins: None,
    })
}

/// The mean `(batch)` of a number, from the probabilities of its bins, under the name `output`.
pub(crate) fn mean(graph: &mut Graph, number: &NumberSpec, bins: &str, output: &str) {
    let centres: Vec<f32> = number.centres().map(|c| c as f32).collect();
    let centres = graph.floats(&[centres.len()], &centres);
    graph.named("MatMul", &[bins, &centres], &[output], &[]);
}

/// The probabilities `(batch, groups)` of groups, in the order of their names, from those of the labels, under the name `output`.
pub(crate) fn groups(graph: &mut Graph, groups: &Groups, labels: &str, output: &str) {
    let (count, inside) = (groups.names().len(), groups.labels());
    let labels_in_all = groups.parents().len() - count;
    let is_in = |label: usize, group: usize| f32::from(u8::from(inside[group].contains(&label)));
    let table = triangle(labels_in_all, count, is_in);
    let table = graph.floats(&[labels_in_all, count], &table);
    graph.named("MatMul", &[labels, &table], &[output], &[]);
}

/// A linear layer; a weight `(1, inputs)` is that of all outputs.
fn linear(
    graph: &mut Graph,
    x: &str,
    name: &str,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<String> {
    let names = ["weight", "bias"].map(|what| format!("{name}.{what}"));
    graph.weight(
        &names[0],
        &[weight.dim(1)?, weight.dim(0)?],
        &weight.t()?.flatten_all()?.to_vec1()?,
    );
    graph.weight(&names[1], bias.dims(), &bias.to_vec1()?);
    let y = graph.node("MatMul", &[x, &names[0]], &[]);
    Ok(graph.node("Add", &[&y, &names[1]], &[]))
}

/// log σ(x), and log σ(−x).
fn log_sigmoids(graph: &mut Graph, x: &str) -> [String; 2] {
    let negative = graph.node("Neg", &[x], &[]);
    [negative.as_str(), x].map(|x| {
        let y = graph.node("Softplus", &[x], &[]);
        graph.node("Neg", &[&y], &[])
    })
}

/// Zeros before or behind the values of each image.
pub(crate) fn padded(graph: &mut Graph, x: &str, before: i64, behind: i64) -> String {
    let pads = graph.ints(&[0, before, 0, behind]);
    graph.node("Pad", &[x, &pads], &[])
}

/// Log-probabilities of labels, as `head/ordinal.rs` has them of `corn`, from `(batch, n)`: the log-probabilities of all borders
/// below, which a triangle of ones adds up, and of not being above the next.
fn corn(graph: &mut Graph, x: &str, n: usize) -> String {
    let [above, not_above] = log_sigmoids(graph, x);
    let triangle = triangle(
        n,
        n + 1,
        |border, label| if border < label { 1.0 } else { 0.0 },
    );
    let triangle = graph.floats(&[n, n + 1], &triangle);
    let above = graph.node("MatMul", &[&above, &triangle], &[]);
    let not_above = padded(graph, &not_above, 0, 1);
    let sum = graph.node("Add", &[&above, &not_above], &[]);
    bounded(graph, &sum)
}

/// Log-probabilities of labels, as `head/ordinal.rs` has them of `coral`: an output counts as the least of those up to it.
fn coral(graph: &mut Graph, x: &str, n: usize) -> String {
    let later = triangle(
        n,
        n,
        |k, border| if border > k { f32::INFINITY } else { 0.0 },
    );
    let later = graph.floats(&[n, n], &later);
    let x = graph.reshape(x, &[1, n]);
    let x = graph.node("Add", &[&x, &later], &[]);
    let attributes = [("axes", Ints(&[2])), ("keepdims", Int(0))];
    let x = graph.node("ReduceMin", &[&x], &attributes);
    let [above, not_above] = log_sigmoids(graph, &x);
    let above = padded(graph, &above, 1, 0);
    let not_above = padded(graph, &not_above, 0, 1);
    let mut sum = graph.node("Add", &[&above, &not_above], &[]);
    if n > 1 {
        let part = |graph: &mut Graph, from: usize| {
            let places: Vec<i64> = (from..from + n - 1).map(|i| i as i64).collect();
            let places = graph.ints(&places);
            graph.node("Gather", &[&x, &places], &[("axis", Int(1))])
        };
        let (before, behind) = (part(graph, 0), part(graph, 1));
        let one = graph.number(1.0);
        let y = graph.node("Sub", &[&behind, &before], &[]);
        let y = graph.node("Exp", &[&y], &[]);
        let y = graph.node("Sub", &[&one, &y], &[]);
        let y = graph.node("Log", &[&y], &[]);
        let apart = padded(graph, &y, 1, 1);
        sum = graph.node("Add", &[&sum, &apart], &[]);
    }
    bounded(graph, &sum)
}

/// A table of so many rows and columns.
fn triangle(rows: usize, cols: usize, value: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    (0..rows * cols)
        .map(|i| value(i / cols, i % cols))
        .collect()
}

/// No log-probability below the least there is.
fn bounded(graph: &mut Graph, x: &str) -> String {
    let least = graph.number(LEAST as f32);
    graph.node("Max", &[x, &least], &[])
}
