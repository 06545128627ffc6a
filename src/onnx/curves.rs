//! Functions of values and channels as nodes.

use super::graph::Attribute::{Float, Int, Ints};
use super::graph::Graph;
use crate::tape::Activation;

/// An activation of `x`.
pub(crate) fn activate(graph: &mut Graph, x: String, activation: Activation) -> String {
    match activation {
        Activation::Identity => x,
        Activation::Relu => graph.node("Relu", &[&x], &[]),
        Activation::Relu6 => {
            let (low, high) = (graph.number(0.0), graph.number(6.0));
            graph.node("Clip", &[&x, &low, &high], &[])
        }
        Activation::Sigmoid => graph.node("Sigmoid", &[&x], &[]),
        Activation::HardSigmoid => {
            let attributes = [("alpha", Float(1.0 / 6.0)), ("beta", Float(0.5))];
            graph.node("HardSigmoid", &[&x], &attributes)
        }
        Activation::Silu => {
            let gate = graph.node("Sigmoid", &[&x], &[]);
            graph.node("Mul", &[&x, &gate], &[])
        }
        Activation::HardSwish => graph.node("HardSwish", &[&x], &[]),
        // In the order that ONNX Runtime knows as one operator.
        Activation::Gelu => {
            let (root, one, half) = (
                graph.number(std::f32::consts::SQRT_2),
                graph.number(1.0),
                graph.number(0.5),
            );
            let y = graph.node("Div", &[&x, &root], &[]);
            let y = graph.node("Erf", &[&y], &[]);
            let y = graph.node("Add", &[&y, &one], &[]);
            let y = graph.node("Mul", &[&x, &y], &[]);
            graph.node("Mul", &[&y, &half], &[])
        }
        // v · sigmoid(2 · √(2/π) · (v + 0.044715 v³)), which is the same.
        Activation::GeluTanh => {
            let factor = 2.0 * (2.0 / std::f64::consts::PI).sqrt();
            let (linear, cubic) = (
                graph.number(factor as f32),
                graph.number((factor * 0.044_715) as f32),
            );
            let square = graph.node("Mul", &[&x, &x], &[]);
            let y = graph.node("Mul", &[&square, &cubic], &[]);
            let y = graph.node("Add", &[&y, &linear], &[]);
            let y = graph.node("Mul", &[&x, &y], &[]);
            let gate = graph.node("Sigmoid", &[&y], &[]);
            graph.node("Mul", &[&x, &gate], &[])
        }
    }
}

/// Global response normalisation of rows, see [`Tape::global_response_norm`](crate::tape::Tape::global_response_norm).
pub(crate) fn response_norm(graph: &mut Graph, [x, gamma, beta]: [&str; 3], eps: f64) -> String {
    let (eps, one) = (graph.number(eps as f32), graph.number(1.0));
    let keep = ("keepdims", Int(1));
    let norms = graph.node("ReduceL2", &[x], &[("axes", Ints(&[1, 2])), keep]);
    let keep = ("keepdims", Int(1));
    let mean = graph.node("ReduceMean", &[&norms], &[("axes", Ints(&[3])), keep]);
    let mean = graph.node("Add", &[&mean, &eps], &[]);
    let factors = graph.node("Div", &[&norms, &mean], &[]);
    let factors = graph.node("Mul", &[&factors, gamma], &[]);
    let factors = graph.node("Add", &[&factors, &one], &[]);
    let y = graph.node("Mul", &[x, &factors], &[]);
    graph.node("Add", &[&y, beta], &[])
}
