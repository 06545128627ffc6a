//! What a head reads, as nodes: parts of the row of features, pooled, and the probabilities of heads before it.

use super::graph::Attribute::{Int, Ints};
use super::graph::Graph;
use super::heads::Written;
use crate::error::Result;
use crate::head::{Head, Inputs, LEAST_VALUE, Pool};
use candle_core::D;

/// The values `(batch, inputs)` that a head's first layer sees; `written` are the heads so far, by place.
pub(crate) fn write(
    graph: &mut Graph,
    row: &str,
    prefix: &str,
    head: &Head,
    written: &[Option<Written>],
) -> Result<String> {
    let (reads, pool) = head.reads();
    let mut parts = Vec::new();
    let mut start = 0;
    for (place, segment) in reads.segments.iter().enumerate() {
        if reads.is_row() {
            parts.push(row.to_string());
            continue;
        }
        let (channels, positions) = (segment.channels, segment.positions);
        let bounds = [segment.start, segment.start + channels * positions];
        let [from, to] = bounds.map(|b| graph.ints(&[b as i64]));
        let axis = graph.ints(&[1]);
        let part = graph.node("Slice", &[row, &from, &to, &axis], &[]);
        if pool.is_average() {
            parts.push(part);
            continue;
        }
        let map = graph.reshape(&part, &[channels, positions]);
        parts.push(match pool {
            Pool::Average => map,
            Pool::Gem(exponents) => {
                let p = Pool::exponents(&exponents.narrow(0, place, 1)?)?;
                let name = name(reads, prefix, "p", place);
                graph.weight(&name, &[1], &p.to_vec1()?);
                generalised_mean(graph, &map, &name)
            }
            Pool::Attention(query) => {
                let query = query.narrow(D::Minus1, start, channels)?;
                let name = name(reads, prefix, "query", place);
                graph.weight(&name, &[1, 1, channels], &query.flatten_all()?.to_vec1()?);
                attention(graph, &map, &name, channels)
            }
        });
        start += channels;
    }
    for (place, _) in &reads.after {
        if let Some(Some(before)) = written.get(*place) {
            parts.push(graph.node(before.probs, &[&before.labels], &[]));
        }
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    Ok(match parts.as_slice() {
        [one] => (*one).to_string(),
        all => graph.node("Concat", all, &[("axis", Int(1))]),
    })
}

/// The name of a map's share of a head's tensor: the tensor's, if there is one map.
fn name(reads: &Inputs, prefix: &str, tensor: &str, place: usize) -> String {
    match reads.segments.len() {
        1 => format!("{prefix}.pool.{tensor}"),
        _ => format!("{prefix}.pool.{tensor}.{place}"),
    }
}

/// As `head/pool.rs` has it, of `(batch, channels, positions)`.
fn generalised_mean(graph: &mut Graph, map: &str, p: &str) -> String {
    let last = [("axes", Ints(&[2])), ("keepdims", Int(1))];
    let least = graph.number(LEAST_VALUE as f32);
    let x = graph.node("Max", &[map, &least], &[]);
    let x = graph.node("Log", &[&x], &[]);
    let x = graph.node("Mul", &[&x, p], &[]);
    let greatest = graph.node("ReduceMax", &[&x], &last);
    let x = graph.node("Sub", &[&x, &greatest], &[]);
    let x = graph.node("Exp", &[&x], &[]);
    let x = graph.node("ReduceMean", &[&x], &last);
    let x = graph.node("Log", &[&x], &[]);
    let x = graph.node("Add", &[&x, &greatest], &[]);
    let x = graph.node("Div", &[&x, p], &[]);
    let x = graph.node("Exp", &[&x], &[]);
    graph.node("Flatten", &[&x], &[])
}

/// As `head/pool.rs` has it.
fn attention(graph: &mut Graph, map: &str, query: &str, channels: usize) -> String {
    let scores = graph.node("MatMul", &[query, map], &[]);
    let scale = graph.number((1.0 / (channels as f64).sqrt()) as f32);
    let scores = graph.node("Mul", &[&scores, &scale], &[]);
    let shares = graph.node("Softmax", &[&scores], &[("axis", Int(-1))]);
    let rows = graph.transpose(map, &[0, 2, 1]);
    let y = graph.node("MatMul", &[&shares, &rows], &[]);
    graph.reshape(&y, &[channels])
}
